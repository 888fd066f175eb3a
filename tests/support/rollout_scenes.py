"""Scenes of a rollout from which its stories begin."""

from support.rollout_world import LADDER, QUICK, World


def serving(**spec):
    """Return a world in which version 1 serves."""
    world = World(**spec)
    world.run(10)
    assert (world.phase, world.stable) == ("Idle", 1)
    return world


def ramping(index, *, spec=None, rate=200.0, **behaviour):
    """Return a world in which version 2 is in a step."""
    world = serving(**(spec or {}))
    world.add_version(2, **behaviour)
    world.run(900, rate, until=lambda w: is_counting(w, index))
    assert is_counting(world, index), world.status["summary"]
    return world


def is_counting(world, index):
    """Return whether a step has begun to count requests."""
    step = world.rollout.get("step") or {}
    return step.get("index") == index and "startedAt" in step


def rollout(**changes):
    """Return a spec with a rollout that differs from the usual."""
    return {"rollout": {"steps": list(LADDER), "analysis": dict(QUICK)} | changes}


def analysis(**changes):
    """Return a spec with an analysis that differs from the usual."""
    return rollout(analysis=dict(QUICK) | changes)


def ended(world):
    """Return whether the newest version has had its attempt."""
    is_over = not world.rollout and world.phase in ("Idle", "Aborted")
    return is_over and world.last["version"] == max(world.versions)
