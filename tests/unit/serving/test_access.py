"""Keys of a mounted file: who is let in, what stays open, and what a rotation does."""

import asyncio

import httpx
import pytest

from modelyard_serving.access import Keys
from modelyard_serving.rotation import REFUSED, TAKEN
from support import serving
from support.secret_mount import SecretMount
from support.serving import INFER, rows

BODY = {"inputs": rows([0.5])}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


class Told:
    """What the keys report."""

    def __init__(self):
        self.reasons: list[str | None] = []
        self.outcomes: list[str] = []


@pytest.fixture
def mount(tmp_path):
    return SecretMount(tmp_path / "keys")


def keys_of(mount, told=None) -> Keys:
    told = told or Told()
    return Keys(mount.folder / "keys", told.reasons.append, told.outcomes.append)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        pytest.param(b"Bearer old", True, id="the-first-key"),
        pytest.param(b"Bearer new", True, id="the-second-key"),
        pytest.param(b"bearer new", True, id="the-scheme-has-no-case"),
        pytest.param(b" Bearer  new ", True, id="spaces-around"),
        pytest.param(b"Bearer NEW", False, id="the-key-has-case"),
        pytest.param(b"Bearer new2", False, id="longer"),
        pytest.param(b"Bearer ne", False, id="shorter"),
        pytest.param(b"Bearer", False, id="no-key"),
        pytest.param(b"Bearer ", False, id="empty-key"),
        pytest.param(b"Bearer old new", False, id="two-keys"),
        pytest.param(b"Basic new", False, id="another-scheme"),
        pytest.param(b"new", False, id="no-scheme"),
        pytest.param(b"Bearer \xff\x00", False, id="no-text"),
        pytest.param(b"", False, id="empty"),
        pytest.param(None, False, id="no-header"),
    ],
)
def test_a_header_shows_one_of_the_keys(mount, header, allowed):
    mount.put(keys=b"old\n\n  new \r\n")

    assert keys_of(mount).allows(header) is allowed


@pytest.mark.parametrize("text", [b"", b"\n \n", b"k\n" * 10_000, None])
def test_without_a_readable_key_nobody_is_let_in_and_it_is_said(mount, text):
    mount.put(**({} if text is None else {"keys": text}))
    told = Told()

    keys = keys_of(mount, told)

    assert not any(keys.allows(header) for header in (b"Bearer ", b"Bearer k", None))
    assert told.outcomes == [REFUSED]
    assert str(mount.folder / "keys") in told.reasons[0]


def test_a_rotation_changes_the_number_and_only_a_change_is_told(mount):
    told = Told()
    mount.put(keys=b"old")
    keys = keys_of(mount, told)
    first = keys.generation

    keys.refresh()
    mount.put(keys=b"old\nnew")
    keys.refresh()
    both = keys.generation
    mount.put(keys=b"new")
    keys.refresh()

    assert len({first, both, keys.generation}) == 3
    assert (keys.allows(b"Bearer old"), keys.allows(b"Bearer new")) == (False, True)
    assert told.outcomes == [TAKEN] * 3


def test_keys_that_vanish_shut_the_door_and_keys_that_come_open_it(mount):
    told = Told()
    mount.put(keys=b"one")
    keys = keys_of(mount, told)

    mount.put()
    keys.refresh()
    shut = keys.allows(b"Bearer one")
    mount.put(keys=b"one")
    keys.refresh()

    assert not shut
    assert keys.allows(b"Bearer one")
    assert told.reasons[0] is told.reasons[2] is None
    assert "every request is refused" in told.reasons[1]


async def answers_of(http: httpx.AsyncClient, **headers: str) -> dict[str, int]:
    paths = (
        "/v2", "/v2/models/rain", "/v2/models/rain/ready", "/nothing", "/v1x",
        "/v2/health/live", "/v2/health/ready", "/metrics", "/v1/sketch", "/v1/profile",
    )  # fmt: skip
    codes = {path: (await http.get(path, headers=headers)).status_code for path in paths}
    return codes | {INFER: (await http.post(INFER, json=BODY, headers=headers)).status_code}


@pytest.mark.slow
async def test_the_server_asks_for_a_key_except_where_probes_and_the_monitor_come(
    mount, rain_bundle
):
    mount.put(keys=b"one")
    with serving.program(rain_bundle, KEYS_FILE=mount.folder / "keys") as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        async with program.client() as http:
            without = await answers_of(http)
            having = await answers_of(http, **bearer("one"))
            refused = await http.post(INFER, json=BODY, headers=bearer("two"))
            twice = [("authorization", "Bearer one"), ("authorization", "Bearer one")]
            doubled = await http.post(INFER, json=BODY, headers=twice)
            metrics = (await http.get("/metrics")).text

    closed = {path for path, code in without.items() if code == 401}
    assert closed == {"/v2", "/v2/models/rain", "/v2/models/rain/ready", "/nothing", "/v1x", INFER}
    assert {path for path, code in having.items() if code != 200} == {"/nothing", "/v1x"}
    assert refused.status_code == doubled.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "authorization: Bearer" in refused.json()["error"]
    assert 'modelyard_rejected_total{reason="Unauthorized"} 8.0' in metrics


@pytest.mark.slow
async def test_a_connection_that_was_let_in_is_asked_again_after_a_rotation(mount, rain_bundle):
    mount.put(keys=b"old")
    told = {"KEYS_FILE": mount.folder / "keys", "ROTATION_SECONDS": 0.05}
    with serving.program(rain_bundle, **told) as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        async with program.client() as http:

            async def code(key):
                return (await http.post(INFER, json=BODY, headers=bearer(key))).status_code

            assert [await code("old") for _ in range(3)] == [200] * 3
            mount.put(keys=b"old\nnew")
            while await code("new") != 200:
                pass
            assert await code("old") == 200
            mount.put(keys=b"new")
            while await code("old") == 200:
                pass
            assert (await code("old"), await code("new")) == (401, 200)
            mount.put(keys=b"")
            while await code("new") == 200:
                pass
            ready = await http.get("/v2/health/ready")
            mount.put(keys=b"new")
            while (await http.get("/v2/health/ready")).status_code != 200:
                pass
            metrics = (await http.get("/metrics")).text
            assert await code("new") == 200

    assert ready.status_code == 503
    assert "every request is refused" in ready.json()["error"]
    assert 'modelyard_rotations_total{outcome="taken",what="keys"} 4.0' in metrics
    assert 'modelyard_rotations_total{outcome="refused",what="keys"} 1.0' in metrics
