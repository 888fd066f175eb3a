"""The HTTP interface."""

import httpx
import pytest

from modelyard_core import codec
from modelyard_core.watch import Report
from modelyard_monitor.app import create_app
from modelyard_monitor.database import Database
from modelyard_monitor.metrics import Metrics
from modelyard_monitor.service import Monitor
from support import drift

URL = "/v1/watches/demo/rain"


@pytest.fixture
def monitor(tmp_path):
    service = Monitor(Database(tmp_path / "monitor.sqlite"), Metrics(), max_watches=1)
    yield service
    service.database.close()


@pytest.fixture
async def client(monitor):
    app = create_app(monitor, now=lambda: drift.NOON)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as made:
        yield made


async def test_a_watch_is_put_read_and_deleted(client):
    body = codec.dumps(drift.a_watch())

    put = await client.put(URL, content=body)
    got = await client.get(URL)
    deleted = await client.delete(URL)
    gone = await client.get(URL)

    report = codec.decode(Report, put.json())
    assert report.reference_digest == drift.DIGEST
    assert report.at == drift.moment(drift.NOON)
    assert got.json() == put.json()
    assert deleted.status_code == 204
    assert (gone.status_code, gone.json()) == (404, {"error": "there is no watch demo/rain"})
    assert (await client.delete(URL)).status_code == 204


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b"{", 400, "not JSON"),
        (b"{}", 400, "missing"),
        (codec.dumps(drift.a_watch(min_rows=0)).encode(), 422, "minRows must be at least 1"),
        (b" " * 300_000, 413, "at most 262144 bytes"),
    ],
)
async def test_a_watch_that_cannot_be_kept_is_refused_with_a_sentence(client, body, status, part):
    answer = await client.put(URL, content=body)

    assert answer.status_code == status
    assert part in answer.json()["error"]


async def test_too_many_watches_are_refused(client):
    await client.put(URL, content=codec.dumps(drift.a_watch()))

    answer = await client.put("/v1/watches/demo/other", content=codec.dumps(drift.a_watch()))

    assert answer.status_code == 429


async def test_health_and_metrics(client, monitor):
    await client.put(URL, content=codec.dumps(drift.a_watch()))

    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).json() == {"status": "ok", "watches": 1}
    metrics = (await client.get("/metrics")).text
    assert "modelyard_monitor_watches 1.0" in metrics
    assert "rain" not in metrics


async def test_a_monitor_that_reads_no_pods_is_not_ready(monitor):
    app = create_app(monitor, is_running=lambda: False)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        assert (await client.get("/readyz")).status_code == 503
