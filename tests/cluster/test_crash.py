"""Killing the operator after any of its writes leads to the same end, and nothing twice.

The API server is real, the operator is the real process, and it dies when the API server has done
a write of which it has not heard yet.  The rest of the cluster is played, so that every story has
the same writes each time.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard_operator.naming import RETRAIN_ANNOTATION
from support import cel
from support.cel import model_deployment, model_training, model_version
from support.crash import Stage

pytestmark = pytest.mark.cluster

TOGETHER = 3
"""Stories told at once; each has its own namespace, operator and lease."""
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


def a_version(number):
    at = {"metadata.name": f"rain-v{number}", "spec.version": number}
    digest = f"sha256:{number:064d}"
    return cel.changed(model_version.VALID, at | {"spec.digest": digest, "spec.runKey": digest})


@pytest.fixture(scope="module")
def tell(api_server_with_crds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crash")
    told = iter(range(1, 250))

    def tell(story, deadly=frozenset()):
        block = next(told)
        stage = Stage(api_server_with_crds, folder, f"crash-{block}", block)
        return stage.play(story(), set(deadly))

    return tell


@pytest.mark.parametrize("story", [Training, Rollout], ids=lambda story: story.__name__)
def test_a_kill_after_any_write_changes_nothing(tell, story):
    undisturbed = tell(story)
    numbers = range(1, len(undisturbed.writes) + 1)

    with ThreadPoolExecutor(TOGETHER) as pool:
        killed = dict(zip(numbers, pool.map(lambda k: tell(story, {k}), numbers), strict=True))

    print(f"\n{story.__name__}: {len(numbers)} writes, {undisturbed.seconds:.0f} s undisturbed")
    for k, outcome in killed.items():
        after = f"killed after write {k}: {undisturbed.writes[k - 1]}"
        assert outcome.deaths == 1 or len(outcome.writes) < k, after
        assert outcome.objects == undisturbed.objects, after
        twice = {name: n for name, n in outcome.created.items() if n > 1}
        assert twice == {}, after


@pytest.mark.parametrize("story", [Training, Rollout], ids=lambda story: story.__name__)
def test_a_kill_after_every_write_changes_nothing(tell, story):
    undisturbed = tell(story)

    killed = tell(story, set(range(1, 500)))

    assert killed.deaths >= len(undisturbed.writes) - 5
    assert killed.objects == undisturbed.objects
    assert {name: n for name, n in killed.created.items() if n > 1} == {}
