"""The statistics extension counts what was asked, and where the time went."""

import time

import pytest

from modelyard_serving.model_statistics import Stage, Statistics, Stopwatch
from support import serving
from support.serving import INFER, check_error, rows, tensor

STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


async def stats(served):
    answer = await served.http.get("/v2/models/rain/stats")
    assert answer.status_code == 200
    again = await served.http.get("/v2/models/rain/versions/1/stats")
    (model,), (same,) = answer.json()["model_stats"], again.json()["model_stats"]
    # Both reckon back to the moment from another one, which may round to another millisecond.
    assert same | {"last_inference": model["last_inference"]} == model
    return model


async def test_nothing_is_counted_before_the_first_request(rain):
    nothing = {"count": 0, "ns": 0}

    assert await stats(rain) == {
        "name": "rain",
        "version": "1",
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "inference_stats": dict.fromkeys(("success", "fail", *STAGES), nothing),
    }


async def test_requests_rows_and_times_are_counted(rain):
    before = time.time_ns() // 10**6
    await rain.infer(*rows([0.5]))
    await rain.infer(*rows([0.5] * 3))
    await rain.http.post(INFER, content=b"{")
    await rain.infer(*rows([]))

    model = await stats(rain)
    after = time.time_ns() // 10**6  # the clock on the wall is read when it is asked for
    times = model["inference_stats"]

    assert (model["inference_count"], model["execution_count"]) == (4, 3)
    assert before <= model["last_inference"] <= after + 1
    assert (times["success"]["count"], times["fail"]["count"]) == (3, 1)
    assert [times[stage]["count"] for stage in STAGES] == [3] * 4
    assert all(times[stage]["ns"] > 0 for stage in ("success", "fail", *STAGES[1:]))
    assert sum(times[stage]["ns"] for stage in STAGES) <= times["success"]["ns"]


async def test_a_request_that_goes_to_a_thread_is_counted_too(rain_bundle):
    large = rows([0.5] * 60, station=["north" * 300] * 60)
    async with serving.serving(rain_bundle) as served:
        answer = await served.infer(*large)
        refused = await served.infer(*large[:2], tensor("station", "BYTES", (1, 1), ["x" * 99_999]))
        model = await stats(served)

    assert (answer.status_code, refused.status_code) == (200, 400)
    assert model["inference_count"] == 60
    assert model["inference_stats"]["fail"]["count"] == 1
    assert all(model["inference_stats"][stage]["ns"] > 0 for stage in STAGES)


@pytest.mark.parametrize("path", ["/v2/models/snow/stats", "/v2/models/rain/versions/2/stats"])
async def test_another_model_has_no_statistics(rain, path):
    check_error(await rain.http.get(path), 404, "no (model|version)")


def test_requests_that_share_a_run_are_one_execution():
    counts = Statistics()

    counts.answered(3, 5, 0.6, (0.3, 0.1, 0.1, 0.1))
    counts.answered(1, 1, 0.2, (0.0, 0.1, 0.1, 0.0))
    (model,) = counts.document("rain", "1")["model_stats"]

    assert (model["inference_count"], model["execution_count"]) == (6, 2)
    assert model["inference_stats"]["success"] == {"count": 4, "ns": 800_000_000}
    assert model["inference_stats"]["queue"] == {"count": 4, "ns": 300_000_000}


def test_a_stopwatch_gives_each_moment_to_one_stage():
    watch = Stopwatch()
    for stage in (Stage.QUEUE, Stage.INPUT, Stage.QUEUE):
        watch.lap(stage)

    assert sum(watch.spent) <= watch.total()
    assert all(seconds >= 0 for seconds in watch.spent)
    assert watch.spent[Stage.INFER] == 0
