"""From the spec to what the monitor service is asked to watch.  Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from modelyard_core.durations import parse_duration
from modelyard_core.watch import RetrainRule, Target, Watch
from modelyard_operator.api.v1alpha1.drift_monitor import Confirm, DriftMonitor, DriftMonitorSpec

SHORTEST_LOOK, LONGEST_LOOK = timedelta(seconds=5), timedelta(seconds=30)
LOOKS_PER_WINDOW = 6


@dataclass(frozen=True, slots=True)
class Subject:
    """The revision that is watched."""

    revision: str
    version: int
    digest: str


def watch(monitor: DriftMonitor, subject: Subject, tokens: Iterable[str]) -> Watch:
    """Return what the service is asked for; `tokens` are requests that a training has seen."""
    spec, metadata = monitor.spec, monitor.metadata
    confirm = spec.retrain.confirm if spec.retrain else Confirm()
    host = f"{subject.revision}.{metadata.namespace}.svc"
    return Watch(
        deployment=spec.deployment,
        reference_digest=subject.digest,
        reference_version=subject.version,
        targets=(Target(subject.revision, host),),
        windows_seconds=window_seconds(spec),
        budget=float(spec.false_alarms.budget),
        budget_seconds=_seconds(spec.false_alarms.per),
        min_rows=spec.min_rows,
        feature_effect=float(spec.features.minimum_effect),
        prediction_effect=float(spec.predictions.minimum_effect),
        exclude=tuple(sorted(spec.features.exclude)),
        max_missing_increase=float(spec.quality.max_missing_increase),
        new_categories=spec.quality.new_categories,
        confirm=RetrainRule(confirm.windows, confirm.of),
        max_out_of_range=float(spec.quality.max_out_of_range),
        uid=metadata.uid,
        episode_floor=episode_floor(monitor, tokens),
    )


def window_seconds(spec: DriftMonitorSpec) -> tuple[int, ...]:
    """Return the lengths of the windows, each once, shortest first."""
    return tuple(sorted({_seconds(each) for each in spec.windows}))


def look_again_after(spec: DriftMonitorSpec) -> timedelta:
    """Return how soon the report may say something new."""
    shortest = timedelta(seconds=window_seconds(spec)[0])
    return min(LONGEST_LOOK, max(SHORTEST_LOOK, shortest / LOOKS_PER_WINDOW))


def request_id(name: str, episode: int, repetition: int = 0) -> str:
    """Return the id of a request; it is repeated only where the training never ran for it.

    >>> request_id("rain", 3), request_id("rain", 3, 1)
    ('rain-3', 'rain-3.1')
    """
    return f"{name}-{episode}.{repetition}" if repetition else f"{name}-{episode}"


def episode_floor(monitor: DriftMonitor, tokens: Iterable[str]) -> int:
    """Return the highest episode that anybody remembers: the next one must have a higher number.

    It matters where the monitor service has lost its volume, or this object was made anew.
    """
    form = re.compile(re.escape(monitor.metadata.name) + r"-([0-9]{1,9})(?:\.[0-9]+)?")
    seen = [int(match[1]) for match in map(form.fullmatch, tokens) if match]
    status = monitor.status
    if status is not None and status.episode is not None:
        seen.append(status.episode.number)
    if status is not None and status.last_retrain is not None:
        seen.append(status.last_retrain.episode)
    return max(seen, default=0)


def _seconds(text: str) -> int:
    return int(parse_duration(text).total_seconds())
