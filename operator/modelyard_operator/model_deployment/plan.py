"""One pass: state and world in, actions and the next state out.  Pure, total.

The next state is decided from the persisted one and from what is seen; what pods and routers should
be follows from that next state alone.  A pass that is cut anywhere starts again from the persisted
state, decides the same or something as good, and finds done what is done.
"""

from collections.abc import Iterator
from datetime import timedelta

from modelyard_operator.actions import Action, Apply, Create, Decision, Delete, Poke
from modelyard_operator.api import resources
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeployment, ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.rollout_status import Stage
from modelyard_operator.model_deployment import (
    cleaning,
    commands,
    measuring,
    news,
    render,
    rollout,
    routes,
    target,
)
from modelyard_operator.model_deployment import status as told
from modelyard_operator.model_deployment.observed import Observed
from modelyard_operator.model_deployment.scene import Scene

AT_ONCE = timedelta(0)
LOOKS = (
    (timedelta(seconds=5), timedelta(milliseconds=250)),
    (timedelta(minutes=1), timedelta(seconds=1)),
)
"""How often routers are asked whether they have applied a table, by its age."""
PODS_LOOK = timedelta(seconds=10)
DRAIN_LOOK = timedelta(seconds=1)


def decide(obj: ModelDeployment, seen: Observed) -> Decision:
    """Return what this pass does.

    A transition is persisted before anything acts on it: a crash in between would else leave the
    routers at a step that the status has not reached.  Only taking traffic away does not wait.
    """
    before = obj.status or ModelDeploymentStatus()
    scene = _scene(obj, before, seen)
    after, answer = commands.handle(before, scene)
    if answer is None:
        after = rollout.advance(before, scene)
    after = told.fill(cleaning.tidy(after, scene), scene)
    events = news.of(before, after, answer)
    has_moved = _has_moved(before, after)
    if has_moved and not _takes_away(after):
        return Decision(tuple(events), told.as_json(after), AT_ONCE)
    return Decision(
        actions=(*_actions(after, scene), *events),
        status=told.as_json(after),
        requeue_after=AT_ONCE if has_moved else _next_look(after, scene),
    )


def _takes_away(status: ModelDeploymentStatus) -> bool:
    """Return whether a candidate is losing its traffic: turned back, or without a ready pod."""
    attempt = status.rollout
    if attempt is None:
        return False
    is_blocked = attempt.step is not None and attempt.step.blocked_since is not None
    return attempt.stage is Stage.ABORTING or is_blocked


def _scene(obj: ModelDeployment, before: ModelDeploymentStatus, seen: Observed) -> Scene:
    routers = routes.confirmation(seen)
    is_live = routes.is_live(routes.wanted(before, seen), seen)
    return Scene(
        obj=obj,
        seen=seen,
        target=target.resolve(obj, before, seen),
        stable=before.stable.revision if before.stable else None,
        is_applied=is_live and routers.is_everywhere,
        routers=routers,
    )


def _actions(status: ModelDeploymentStatus, scene: Scene) -> Iterator[Action]:
    """Yield what makes the world as the state wants it.  Traffic comes first: it may be urgent."""
    yield from _route(status, scene)
    yield from _serve(status, scene)
    obj, images = scene.obj, scene.seen.images
    yield Apply(render.client_service(obj))
    yield Apply(render.router_budget(obj))
    yield Apply(render.router_workload(obj, images))
    yield from _remove(status, scene)


def _route(status: ModelDeploymentStatus, scene: Scene) -> Iterator[Action]:
    shares = routes.wanted(status, scene.seen)
    if shares is not None:
        table = routes.table(shares, scene.seen)
        yield Apply(render.routes_config(scene.obj, table, scene.seen))
        if not routes.is_live(shares, scene.seen):
            return  # the poke comes after the kubelet can see the new text
    live = scene.seen.routes.table if scene.seen.routes else None
    if live is not None and (pods := routes.pods_to_poke(scene.seen)):
        value = routes.poke_value(live.version, scene.seen.now)
        yield Poke(scene.obj.metadata.namespace, pods, value)


def _serve(status: ModelDeploymentStatus, scene: Scene) -> Iterator[Action]:
    """Yield what keeps the revisions in use running, stable first."""
    existing = {workload.revision: workload for workload in scene.seen.workloads}
    used = [status.stable.revision] if status.stable else []
    used += [status.rollout.revision] if status.rollout else []
    for name in used:
        record = next((r for r in status.revisions if r.name == name), None)
        workload = existing.get(name)
        yield Apply(render.revision_service(scene.obj, name))
        if workload is None or not workload.deployment_uid:
            if record is not None:
                yield Create(render.revision_workload(scene.obj, record, scene.seen.images))
        elif workload.replicas != scene.obj.spec.replicas:
            yield Apply(render.revision_size(scene.obj, name))


def _remove(status: ModelDeploymentStatus, scene: Scene) -> Iterator[Action]:
    namespace = scene.obj.metadata.namespace
    for workload in cleaning.gone(status, scene):
        for resource, uid in (
            (resources.DEPLOYMENT, workload.deployment_uid),
            (resources.SERVICE, workload.service_uid),
        ):
            if uid:
                yield Delete(resource, namespace, workload.revision, uid)


def _has_moved(before: ModelDeploymentStatus, after: ModelDeploymentStatus) -> bool:
    """Return whether a transition happened, after which the next pass has something to do."""
    return _position(before) != _position(after)


def _position(status: ModelDeploymentStatus) -> tuple[object, ...]:
    attempt = status.rollout
    step = attempt.step if attempt else None
    return (
        status.stable and status.stable.revision,
        status.attempt,
        status.aborted_revisions,
        attempt and attempt.stage,
        step and step.index,
        step and step.started_at is None,
    )


def _next_look(status: ModelDeploymentStatus, scene: Scene) -> timedelta | None:
    """Return when the world may have changed without an event that tells."""
    looks = [look for look in (_route_look(status, scene), _attempt_look(status, scene)) if look]
    if scene.stable is not None and scene.seen.is_waiting_for(scene.stable):
        looks.append(PODS_LOOK)  # no event tells that a server has changed its mind
    if status.draining:
        looks.append(DRAIN_LOOK)
    return min(looks, default=None)


def _route_look(status: ModelDeploymentStatus, scene: Scene) -> timedelta | None:
    """Return when to ask the routers again: often at first, then patiently."""
    shares, seen = routes.wanted(status, scene.seen), scene.seen
    if shares is None:
        return None
    if seen.routes is None or not routes.is_live(shares, seen):
        return routes.POKE_AFTER
    if scene.routers.is_everywhere and scene.routers.is_over:
        return None
    written = seen.routes.written_at
    age = seen.now - written if written is not None else AT_ONCE
    return next((look for limit, look in LOOKS if age < limit), PODS_LOOK)


def _attempt_look(status: ModelDeploymentStatus, scene: Scene) -> timedelta | None:
    rollout = status.rollout
    if rollout is None:
        return None
    if rollout.stage is Stage.PROVISIONING:
        return PODS_LOOK
    started = rollout.step.started_at if rollout.step else None
    is_new = started is not None and scene.now - started < measuring.NEW_FOR
    return measuring.FIRST_LOOKS if is_new else measuring.TICK
