"""Who gets which requests: the table that a state wants, and what the routers have made of it.

Pure.  Nothing here decides to move on; it says what the decided state means for the routers.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelyard_core import codec
from modelyard_core.routes import TOTAL_WEIGHT, Arm, Mirror, RouterState, RouteTable
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.rollout_status import (
    AppliedTraffic,
    RolloutStatus,
    Stage,
    TrafficTable,
)
from modelyard_operator.api.v1alpha1.rollout_strategy import Step
from modelyard_operator.model_deployment.observed import Observed, RouterSeen

POKE_AFTER = timedelta(milliseconds=100)
"""The kubelet reads the ConfigMap again when it is poked; it must see the new one by then."""
POKE_AGAIN = timedelta(seconds=2.5)


@dataclass(frozen=True, slots=True)
class Shares:
    """Who gets what, before it has a version: parts of 1000, and percent that are copied."""

    stable: str
    candidate: str = ""
    candidate_weight: int = 0
    mirror_percent: int = 0

    def names(self, revision: str) -> bool:
        """Return whether a revision gets requests or copies."""
        return revision in (self.stable, self.candidate)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How far the routers have come with one version."""

    confirmed: int
    wanted: int
    is_everywhere: bool
    """Every router that takes requests has applied it, and there is one."""
    is_over: bool
    """No router, not even a leaving one, works by an older version."""
    waiting: str = ""
    """What a router says it waits for or refuses."""


def traffic_step(rollout: RolloutStatus) -> Step:
    """Return the step whose traffic holds: a pause keeps that of the step before it."""
    index = rollout.step.index if rollout.step else 0
    reached = rollout.strategy.ladder[: index + 1]
    return next((step for step in reversed(reached) if step.pause is None), Step())


def wanted(status: ModelDeploymentStatus, seen: Observed) -> Shares | None:
    """Return the shares of a state; None: leave the routers as they are.

    A candidate without a ready pod gets nothing, whatever its step says.  Stable gets nothing back
    while it has no ready pod and the candidate has one.
    """
    stable, rollout = status.stable, status.rollout
    if stable is None:
        is_serving = rollout is not None and rollout.stage is Stage.PROMOTING
        return Shares(rollout.revision) if rollout is not None and is_serving else None
    alone = Shares(stable.revision)
    if rollout is None or rollout.stage is Stage.PROVISIONING:
        return alone
    candidate_ready = seen.ready(rollout.revision) > 0
    if not candidate_ready:
        return alone
    match rollout.stage:
        case Stage.STEPPING:
            step = traffic_step(rollout)
            return _shares(stable.revision, rollout.revision, step)
        case Stage.PROMOTING:
            return Shares(stable.revision, rollout.revision, TOTAL_WEIGHT)
        case Stage.ABORTING:
            return alone if seen.ready(stable.revision) else _held(alone, rollout, seen)


def _shares(stable: str, candidate: str, step: Step) -> Shares:
    if step.mirror is None and step.weight is None:
        return Shares(stable)
    return Shares(stable, candidate, (step.weight or 0) * 10, step.mirror or 0)


def _held(alone: Shares, rollout: RolloutStatus, seen: Observed) -> Shares:
    """Return the shares as the routers have them, without a mirror: stable cannot take over."""
    live = seen.routes.table if seen.routes else None
    if live is None or live.canary is None or live.canary.revision != rollout.revision:
        return alone
    return Shares(alone.stable, rollout.revision, live.canary.weight)


def shares_of(table: RouteTable) -> Shares:
    """Return the shares of a table."""
    candidate = table.canary or table.mirror
    return Shares(
        stable=table.stable.revision,
        candidate=candidate.revision if candidate else "",
        candidate_weight=table.canary.weight if table.canary else 0,
        mirror_percent=table.mirror.percent if table.mirror else 0,
    )


def table(shares: Shares, seen: Observed) -> RouteTable:
    """Return the table of these shares: the live one where it holds, else one of a higher version.

    The version follows from what is there, so a pass that is repeated after a crash makes the same.
    """
    live = seen.routes.table if seen.routes else None
    fresh = _render(shares)
    if live is not None and replace(live, version=0) == fresh:
        return live
    return replace(fresh, version=newest_version(seen) + 1)


def newest_version(seen: Observed) -> int:
    """Return the highest version that anybody knows of."""
    live = seen.routes.table if seen.routes else None
    known = [live.version] if live else []
    for router in seen.routers:
        if router.state is not None:
            known += [router.state.applied or 0, router.state.desired or 0]
    return max(known, default=0)


def _render(shares: Shares) -> RouteTable:
    weight = shares.candidate_weight
    name = shares.candidate
    return RouteTable(
        version=0,
        stable=Arm(shares.stable, host=shares.stable, weight=TOTAL_WEIGHT - weight),
        canary=Arm(name, host=name, weight=weight) if weight else None,
        mirror=Mirror(name, name, shares.mirror_percent) if shares.mirror_percent else None,
    )


def is_live(shares: Shares | None, seen: Observed) -> bool:
    """Return whether the written table says these shares."""
    if shares is None or seen.routes is None or seen.routes.table is None:
        return False
    return replace(seen.routes.table, version=0) == _render(shares)


def confirmation(seen: Observed) -> Confirmation:
    """Return how far the routers have come with the written table."""
    live = seen.routes.table if seen.routes else None
    taking = [router for router in seen.routers if _takes_requests(router)]
    done = [router for router in taking if _has(router, live)]
    behind = [router for router in seen.routers if _is_behind(router, live)]
    return Confirmation(
        confirmed=len(done),
        wanted=len(taking),
        is_everywhere=live is not None and bool(taking) and len(done) == len(taking),
        is_over=not behind and len(done) == len(taking),
        waiting=next(filter(None, (_complaint(router.state) for router in taking)), ""),
    )


def _takes_requests(router: RouterSeen) -> bool:
    """Return whether a router answers clients, or is about to with routes that it has."""
    if router.pod.is_leaving:
        return False
    return router.pod.is_ready or (router.state is not None and router.state.applied is not None)


def _has(router: RouterSeen, live: RouteTable | None) -> bool:
    return live is not None and router.state is not None and router.state.applied == live.version


def _is_behind(router: RouterSeen, live: RouteTable | None) -> bool:
    applied = router.state.applied if router.state else None
    return applied is not None and live is not None and applied < live.version


def _complaint(state: RouterState | None) -> str:
    if state is None:
        return "a router's agent does not answer"
    return state.error or state.waiting


def applied_traffic(seen: Observed) -> AppliedTraffic:
    """Return what the routers have confirmed, for the status."""
    found = confirmation(seen)
    versions = [
        (router.state.applied or 0) if router.state else 0
        for router in seen.routers
        if _takes_requests(router)
    ]
    return AppliedTraffic(
        version=min(versions, default=0), routers=f"{found.confirmed}/{found.wanted}"
    )


def desired_traffic(wanted_table: RouteTable) -> TrafficTable:
    """Return what the routers are told, for the status."""
    return TrafficTable(
        version=wanted_table.version,
        stable=wanted_table.stable.weight,
        canary=wanted_table.canary.weight if wanted_table.canary else 0,
        mirror_percent=wanted_table.mirror.percent if wanted_table.mirror else 0,
    )


def pods_to_poke(seen: Observed) -> tuple[str, ...]:
    """Return the router pods whose kubelet should read the routes now.

    Not before the API server has surely shown the new text, and not more often than every few
    seconds.
    """
    live = seen.routes.table if seen.routes else None
    written = seen.routes.written_at if seen.routes else None
    if live is None or written is None or seen.now - written < POKE_AFTER:
        return ()
    return tuple(
        router.pod.name
        for router in seen.routers
        if router.state is not None
        and not _has(router, live)
        and _is_due(router.pod.poke, live.version, seen.now)
    )


def _is_due(poke: str, version: int, now: datetime) -> bool:
    about, _, moment = poke.partition("@")
    if about != str(version):
        return True
    try:
        return now - codec.parse_time(moment) >= POKE_AGAIN
    except ValueError:
        return True


def poke_value(version: int, now: datetime) -> str:
    """Return the annotation that makes a kubelet look: another one each time."""
    return f"{version}@{codec.format_time(now)}"
