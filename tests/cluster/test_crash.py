"""Killing the operator after any of its writes leads to the same end, and nothing twice.

The API server is real, the operator is the real process, and it dies when the API server has done
a write of which it has not heard yet.  The rest of the cluster is played, so that every story has
the same writes each time.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.crash import Stage
from support.stories import Rollout, Training

pytestmark = pytest.mark.cluster

TOGETHER = 5
"""Stories told at once; each has its own namespace, operator and lease."""


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

    # An operator that dies all the time writes fewer of the states in between, never fewer objects.
    assert killed.deaths > len(undisturbed.writes) // 2
    assert killed.objects == undisturbed.objects
    assert {name: n for name, n in killed.created.items() if n > 1} == {}
