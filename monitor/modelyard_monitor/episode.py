r"""One drift from suspicion to calm, as a pure state machine.

              hit                    k of the last n hit
    Stable ─────────▶ Suspect ───────────────────────────▶ Drifting
      ▲                  │                                     │
      └──────────────────┴─────────────────────────────────────┘
         the last n windows of every scale that counts are quiet

A window hits when it finds the minimum effect, and is quiet when it does not even find half of it,
so that a drift on the edge does not flicker.  k of n are counted within one window scale: windows
of different scales share their rows.  Scales that confirmed the drift have to be quiet to end it;
until one has, every scale that hit.  Windows with too little or with bad data count for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelyard_core.watch import EpisodeState, RetrainRule


@dataclass(frozen=True, slots=True)
class Evidence:
    """One window that counts for or against drift."""

    seconds: int
    end: int
    hit: bool
    quiet: bool
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """The state of one episode."""

    number: int
    state: EpisodeState
    since: int
    onset: int
    """Start of the first window that hit."""
    features: tuple[str, ...]
    hit_by: tuple[int, ...]
    """Scales that found something."""
    confirmed_by: tuple[int, ...] = ()
    """Scales that found it often enough."""
    hits: int = 1
    """Windows that hit, of the last n, at the latest hit."""


Recent = Mapping[int, Sequence[Evidence]]
"""For each scale of the watch its last n tested windows, oldest first."""


def advance(
    track: Track | None, window: Evidence, recent: Recent, rule: RetrainRule, number: int
) -> Track | None:
    """Return the episode after one more window; `recent` includes it; None is calm.

    `number` is what a new episode is called.
    """
    if window.hit:
        return _hit(track, window, recent[window.seconds], rule, number)
    if track is not None and _is_over(track, recent, rule):
        return None
    return track


def _hit(
    track: Track | None,
    window: Evidence,
    recent: Sequence[Evidence],
    rule: RetrainRule,
    number: int,
) -> Track:
    hits = sum(each.hit for each in recent)
    track = track or Track(
        number=number,
        state=EpisodeState.SUSPECT,
        since=window.end,
        onset=window.end - window.seconds,
        features=(),
        hit_by=(),
    )
    track = replace(
        track,
        features=window.features,
        hit_by=tuple(sorted({*track.hit_by, window.seconds})),
        hits=hits,
    )
    if hits < rule.confirm_windows:
        return track
    confirmed = tuple(sorted({*track.confirmed_by, window.seconds}))
    since = track.since if track.state is EpisodeState.DRIFTING else window.end
    return replace(track, state=EpisodeState.DRIFTING, since=since, confirmed_by=confirmed)


def _is_over(track: Track, recent: Recent, rule: RetrainRule) -> bool:
    deciding = [scale for scale in track.confirmed_by or track.hit_by if scale in recent]
    return all(
        len(recent[scale]) >= rule.confirm_of
        and all(each.quiet for each in recent[scale][-rule.confirm_of :])
        for scale in deciding
    )
