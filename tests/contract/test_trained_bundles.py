"""What a training stores is what serving pods serve: the same answers, and the same bins.

The rows of the training, sent as traffic, must be counted exactly as the training counted them:
otherwise drift would be seen where there is none.
"""

import numpy as np
import onnxruntime
import pytest
from threadpoolctl import threadpool_limits

from modelyard_core import bundle, codec, fourier
from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.runs import Gates, MetricGate, Pipeline, Verdict
from modelyard_core.sketch import Sketch
from modelyard_serving import fetch
from modelyard_serving.settings import FetchSettings
from modelyard_training import split
from support import bundles, serving
from support import training_runs as runs

LOGISTIC = runs.a_request()
BOOSTED = runs.a_request(pipeline=Pipeline("HistGradientBoosting", {"max_iter": "10"}))
AMOUNT = runs.a_request(
    task="Regression",
    target="amount",
    pipeline=Pipeline("RandomForest", {"n_estimators": "10"}),
    gates=Gates((MetricGate("mae", max=9),)),
)
TABLE = runs.a_table()


def requests(rows):
    """Return request bodies for rows of the table, absent numbers as null."""
    for start in range(0, len(rows), 500):
        part = rows[start : start + 500]
        missing = {"parameters": {"null_is_missing": True}}
        yield {
            "inputs": [
                serving.tensor(
                    name, kind, (len(part), 1), [TABLE[name][i] for i in part], **missing
                )
                for name, kind in (("temp", "FP32"), ("wind", "FP32"), ("city", "BYTES"))
            ]
        }


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(LOGISTIC, id="logistic"),
        pytest.param(BOOSTED, id="boosted-trees"),
        pytest.param(AMOUNT, id="regression"),
    ],
)
async def test_a_trained_bundle_is_fetched_served_and_counted_alike(tmp_path, request_):
    with threadpool_limits(1):
        _, report = runs.a_workshop(tmp_path / "work", TABLE).run(request_)
    assert report.verdict is Verdict.BLESSED
    (tmp_path / "pod").mkdir()
    fetch.fetch(
        FetchSettings(report.uri, report.digest, tmp_path / "work" / "store", tmp_path / "pod")
    )
    keys = [str(day).encode() for day in TABLE["day"]]
    held_out = split.hashed(keys, request_.split.seed, request_.split.test_fraction)
    trained = np.flatnonzero(~held_out).tolist()

    async with serving.serving(bundles.Bundle(tmp_path / "pod", report.digest)) as served:
        answers = [await served.http.post(serving.INFER, json=body) for body in requests(trained)]
        profile = codec.decode(Profile, (await served.http.get("/v1/profile")).json())
        sketch = codec.decode(Sketch, (await served.http.get("/v1/sketch")).json())

    assert {answer.status_code for answer in answers} == {200}
    check_answers(tmp_path / "pod", answers, trained)
    seen = sketch.roles["direct"]
    assert seen.rows == profile.rows == len(trained)
    for column in (*profile.numeric, *profile.categories):
        counts = seen.features[column.name]
        assert (counts.bins, counts.missing) == (column.counts, column.missing)
        assert (counts.new, counts.out_of_range) == (0, 0)
        check_sums(column, counts)
    assert sum(seen.prediction.bins) == len(trained)
    assert seen.fourier == profile.fourier.sums
    assert profile.fourier.rows == len(trained)


def check_sums(column, counts):
    """The rows' mean is the reference's, and their variance is 1."""
    if not isinstance(column, NumericProfile):
        return
    first, second = (total / sum(counts.bins) for total in counts.sums)
    assert abs(first / fourier.UNITS) < 1e-3
    assert second / fourier.UNITS**2 == pytest.approx(1, abs=0.05)


def check_answers(folder, answers, rows):
    session = onnxruntime.InferenceSession((folder / bundle.MODEL).read_bytes())
    feeds = {
        "temp": np.array([[TABLE["temp"][i]] for i in rows], np.float32),
        "wind": np.array([[TABLE["wind"][i]] for i in rows], np.float32),
        "city": np.array([[TABLE["city"][i]] for i in rows], object),
    }
    for place, expected in enumerate(session.run(None, feeds)):
        data = [value for answer in answers for value in answer.json()["outputs"][place]["data"]]
        got = np.array(data, expected.dtype).reshape(expected.shape)
        np.testing.assert_allclose(got, expected, atol=1e-6)
