"""What users do, for tests that tell it again and again; see support/crash.py."""

from modelyard_operator.naming import RETRAIN_ANNOTATION
from support import cel
from support.cel import drift_monitor, model_deployment, model_training, model_version

DATA = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "weather"},
    "binaryData": {"days.csv.gz": "aGVsbG8="},
}


class Training:
    """A training is applied and makes a version; a person asks for another, which is known."""

    def __init__(self):
        self._asked = False

    def begin(self, stage):
        stage.apply(DATA)
        stage.apply(model_training.VALID)

    def goes_on(self, stage):
        status = stage.get("modeltrainings", "rain").get("status", {})
        requests = [r.get("outcome") for r in status.get("requests", [])]
        version = stage.get("modelversions", "rain-v1").get("status", {}).get("phase")
        settled = status.get("phase") == "Succeeded" and version == "Candidate"
        if settled and not self._asked:
            self._asked = True
            again = {"metadata.annotations": {RETRAIN_ANNOTATION: "once-more"}}
            stage.apply(cel.changed(model_training.VALID, again))
            return True
        return not (settled and len(requests) == 2 and "Running" not in requests)


class Rollout:
    """Version 1 serves at once; version 2 earns its traffic and is promoted."""

    SPEC = cel.changed(
        model_deployment.VALID,
        {
            "spec.replicas": 1,
            "spec.rollout": {
                "steps": [{"mirror": 100, "minRequests": 100}, {"weight": 50, "minRequests": 100}],
                "traffic": {"replicas": 1},
                "drain": "1s",
            },
        },
    )

    def begin(self, stage):
        stage.apply(DATA)
        stage.apply(cel.changed(model_training.VALID, {"spec.suspend": True}))
        stage.apply(a_version(1))
        stage.apply(self.SPEC)

    def goes_on(self, stage):
        status = stage.get("modeldeployments", "rain").get("status", {})
        serves = (status.get("stable") or {}).get("version")
        idle = status.get("phase") == "Idle"
        second = stage.get("modelversions", "rain-v2")
        if idle and serves == 1 and not second:
            stage.apply(a_version(2))
        first = stage.get("modelversions", "rain-v1").get("status", {}).get("phase")
        newest = second.get("status", {}).get("phase")
        return not (idle and serves == 2 and (first, newest) == ("Retired", "Serving"))


class Watching:
    """A monitor is applied before there is anything to watch."""

    def begin(self, stage):
        stage.apply(drift_monitor.VALID)

    def goes_on(self, stage):
        monitor = stage.get("driftmonitors", "rain")
        return monitor.get("status", {}).get("observedGeneration") != 1


def a_version(number):
    at = {"metadata.name": f"rain-v{number}", "spec.version": number}
    digest = f"sha256:{number:064d}"
    return cel.changed(model_version.VALID, at | {"spec.digest": digest, "spec.runKey": digest})
