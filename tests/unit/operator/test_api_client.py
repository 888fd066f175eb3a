import pytest

from modelyard_operator import preflight
from modelyard_operator.adapters.bucket import TokenBucket
from modelyard_operator.adapters.credentials import Credentials
from modelyard_operator.api import resources
from modelyard_operator.ports import ApiError
from support.loop import VirtualTime


@pytest.fixture
def time():
    return VirtualTime()


def test_a_burst_is_free(time):
    bucket = TokenBucket(50, 100, time.time)

    assert sum(bucket.reserve(1) for _ in range(100)) == 0


def test_after_the_burst_calls_are_spread(time):
    bucket = TokenBucket(50, 100, time.time)
    bucket.reserve(100)

    assert [bucket.reserve(1) for _ in range(3)] == pytest.approx([0.02, 0.04, 0.06])


def test_the_bucket_fills_up_again_and_not_beyond(time):
    bucket = TokenBucket(50, 100, time.time)
    bucket.reserve(100)
    time.pass_by(3600)

    assert bucket.reserve(101) == pytest.approx(0.02)


def test_a_token_is_read_anew_since_the_kubelet_renews_it(tmp_path):
    file = tmp_path / "token"
    credentials = Credentials("https://x", None, token_file=file)
    tokens = []
    for text in ("first\n", "second\n"):
        file.write_text(text)
        tokens.append(credentials.token())

    assert tokens == ["first", "second"]


class Server:
    """Answers probes with these errors, then well."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.asked = []

    async def probe(self, resource, namespace):
        self.asked.append((resource.plural, namespace))
        if self.errors:
            raise self.errors.pop(0)


async def test_every_kind_is_probed_in_every_namespace():
    server = Server()
    await preflight.check(server, [resources.JOB, resources.POD], ("a", "b"))

    assert server.asked == [("jobs", "a"), ("jobs", "b"), ("pods", "a"), ("pods", "b")]


@pytest.mark.parametrize(
    ("resource", "error", "sentence"),
    [
        pytest.param(
            resources.DRIFT_MONITOR,
            ApiError(404, "NotFound", "x"),
            "The CRD driftmonitors.modelyard.dev (v1alpha1) is not installed; "
            "apply the files in crds/.",
            id="no-crd",
        ),
        pytest.param(
            resources.JOB,
            ApiError(404, "NotFound", "x"),
            "The cluster does not serve jobs.batch in version v1.",
            id="an-old-cluster",
        ),
        pytest.param(
            resources.POD,
            ApiError(403, "Forbidden", "User x cannot list pods."),
            "This program may not list pods; check its roles. User x cannot list pods.",
            id="no-role",
        ),
    ],
)
async def test_what_is_missing_is_said_in_one_sentence(resource, error, sentence):
    with pytest.raises(preflight.NotInstalled) as missing:
        await preflight.check(Server(error), [resource], ())

    assert str(missing.value) == sentence


async def test_an_api_server_that_is_away_is_waited_for():
    waits = []

    async def no_sleep(seconds):
        waits.append(seconds)

    server = Server(*[ApiError(0, "NoAnswer", "down")] * 7)

    await preflight.check(server, [resources.JOB], (), no_sleep)

    assert waits == [1, 2, 4, 8, 15, 15, 15]
