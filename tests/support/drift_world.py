"""The world around a DriftMonitor, in virtual time, and the passes over it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from modelyard_core.watch import (
    Episode,
    EpisodeState,
    FeatureFinding,
    QualityProblem,
    Report,
    WindowFinding,
    WindowState,
)
from modelyard_operator.api.v1alpha1.drift_monitor import DriftMonitor
from modelyard_operator.drift_monitor import plan
from modelyard_operator.drift_monitor.observed import (
    Answer,
    Attempt,
    Deployment,
    Observed,
    Served,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
V1 = Served("rain-aaaaaaaa", 1, "sha256:" + "1" * 64)
V2 = Served("rain-bbbbbbbb", 2, "sha256:" + "2" * 64)
RETRAIN = {"training": "rain", "cooldown": "1h", "maxPer30d": 3}


def a_monitor(status=None, generation=1, **spec):
    return DriftMonitor.model_validate(
        {
            "metadata": {
                "name": "rain",
                "namespace": "demo",
                "uid": "uid-1",
                "generation": generation,
            },
            "spec": {"deployment": "rain", "windows": ["1m"], "retrain": RETRAIN} | spec,
            "status": status,
        }
    )


def a_window(state=WindowState.CALM, rows=400, at=NOON, seconds=60):
    drifts = state is WindowState.DRIFT
    feature = FeatureFinding(
        "dew_point",
        1.5 if drifts else 0.01,
        1e-120 if drifts else 0.9,
        1e-6,
        drifts,
        "30 % above 5",
    )
    return WindowFinding(seconds, at, rows, state, (feature,))


def an_episode(number=1, state=EpisodeState.DRIFTING, **changes):
    features = () if state is EpisodeState.STABLE else ("dew_point",)
    return replace(Episode(number, state, NOON, features, NOON, 2, 2), **changes)


def a_problem(*, blocking=True):
    sentence = "dew_point: 40 % of the values are missing (reference 0 %)"
    return QualityProblem("dew_point", "Missing", 0.4, 0.0, blocking, sentence)


def a_report(served=V1, **changes):
    base = Report(at=NOON, reference_digest=served.digest, pods=1, windows=(a_window(),))
    return replace(base, **changes)


def an_answer(token="rain-1", outcome="Running", **changes):
    return replace(Answer(token, NOON, outcome, "Received"), **changes)


def blessed(token="rain-1", version=2):
    return an_answer(
        token, "Succeeded", reason="Blessed", version=version, verdict="Blessed", run="rain-0"
    )


class Scene:
    """One monitor, pass by pass.  `see` changes what is read; the status is what was decided."""

    def __init__(self, **spec):
        self.spec = spec
        self.status = None
        self.events = []
        self.writes = 0
        self.world = Observed(
            now=NOON,
            deployment=Deployment("rain", served=V1),
            has_training=True,
            report=a_report(),
        )
        self.after = None

    def see(self, later=timedelta(seconds=10), **changes):
        """Let time pass, read the world and decide; the status is written if it differs."""
        self.world = replace(self.world, now=self.world.now + later, **changes)
        decision = plan.decide(a_monitor(self.status, **self.spec), self.world)
        self.events += [event.reason for event in decision.actions]
        self.writes += decision.status != self.status
        self.status = decision.status
        self.after = decision.requeue_after
        return decision.status

    def deployment(self, **changes):
        return replace(self.world.deployment, **changes)

    def promote(self, served):
        """The deployment serves another version; the monitor has rebased."""
        ended = an_episode(state=EpisodeState.STABLE, windows_hit=0, windows_needed=0)
        return self.see(
            deployment=self.deployment(served=served, in_rollout=False),
            report=a_report(served, windows=(), episode=ended),
        )

    @property
    def phase(self):
        return self.status["phase"]

    @property
    def request(self):
        return self.status.get("retrainRequest")

    @property
    def last(self):
        return self.status.get("lastRetrain")

    def condition(self, type_):
        return next(c for c in self.status["conditions"] if c["type"] == type_)

    def truths(self):
        return {c["type"]: c["status"] for c in self.status["conditions"]}


def drifting(number=1, **changes):
    return a_report(
        windows=(a_window(WindowState.DRIFT),), episode=an_episode(number), alarms=1, **changes
    )


def attempt(outcome, version=2, at=NOON + timedelta(hours=1)):
    return Attempt(version, outcome, "AnalysisFailed", at)


def seen(**changes):
    """Return a scene after one look; `spec` is what differs in the monitor."""
    scene = Scene(**changes.pop("spec", {}))
    scene.see(**changes)
    return scene
