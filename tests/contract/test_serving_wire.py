"""What a serving pod says to clients and to the monitor: every answer equals its golden file.

After a wanted change, write the files anew with `MODELYARD_WRITE_GOLDEN=1 pytest` on this file.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from modelyard_core import codec
from modelyard_core.answers import Answers
from modelyard_core.reference import FourierProfile, Profile
from modelyard_core.sketch import Sketch
from support import bundles, onnx_models, serving
from support.serving import INFER, rows

GOLDEN = Path(__file__).parent / "golden" / "serving"
CHANGING = ("boot", "at", "started", "digest")


@pytest.fixture
async def rain(tmp_path):
    async with serving.serving(bundles.write(tmp_path / "model")) as served:
        yield served


def stable(document):
    """Leave out what differs from machine to machine: last digits, digests, our own version."""
    if isinstance(document, dict):
        return {key: stable(value) for key, value in document.items() if key not in CHANGING}
    if isinstance(document, list):
        return [stable(value) for value in document]
    return round(document, 5) if isinstance(document, float) else document


def check(name, document):
    text = json.dumps(stable(document), indent=2, sort_keys=True) + "\n"
    path = GOLDEN / name
    if os.environ.get("MODELYARD_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param("model.json", "/v2/models/rain", id="model-metadata"),
        pytest.param("live.json", "/v2/health/live", id="live"),
        pytest.param("ready.json", "/v2/health/ready", id="ready"),
        pytest.param("model_ready.json", "/v2/models/rain/ready", id="model-ready"),
        pytest.param("unknown_model.json", "/v2/models/snow", id="unknown-model"),
        pytest.param("profile.json", "/v1/profile", id="profile"),
    ],
)
async def test_an_answer_keeps_its_form(rain, name, path):
    check(name, (await rain.http.get(path)).json())


async def test_an_inference_keeps_its_form(rain):
    body = json.loads((GOLDEN / "infer_request.json").read_text())

    check("infer_answer.json", (await rain.http.post(INFER, json=body)).json())


async def test_a_sketch_keeps_its_form(rain):
    for role, temp in (("stable", [-9.0, 0.0, 0.5]), ("canary", [2.0]), ("", [1.0])):
        body = {"inputs": rows(temp, station=["north", "east", "moon"][: len(temp)])}
        await rain.http.post(INFER, json=body, headers={"x-modelyard-role": role})
    answer = (await rain.http.get("/v1/sketch")).json()

    read = codec.decode(Sketch, answer)
    assert codec.encode(read) == answer
    assert read.started is not None
    assert read.started <= read.at
    check("sketch.json", answer)


SUMMED = replace(
    onnx_models.RAIN_PROFILE,
    numeric=tuple(replace(each, mean=0.1, scale=0.75) for each in onnx_models.RAIN_PROFILE.numeric),
    prediction=replace(onnx_models.RAIN_PROFILE.prediction, mean=0.5, scale=0.25),
    fourier=FourierProfile(("temp", "wind"), 1, 1.5, 1, (0,) * 6, (1.0, 1.0, 1.0)),
)


async def test_sums_keep_their_meaning_to_the_last_digit(tmp_path):
    """The reference in a bundle is for ever; what is compared with it must be, too."""
    bundle = bundles.write(tmp_path / "model", profile=SUMMED)
    missing = {"parameters": {"null_is_missing": True}}
    inputs = rows([0.25, -9.5, 1e30], station=["north"] * 3)
    inputs[1] |= {"data": [0.5, None, -0.125], **missing}
    async with serving.serving(bundle) as served:
        body = {"inputs": inputs, "outputs": [{"name": "label"}]}  # JSON has no NaN for the score
        assert (await served.http.post(INFER, json=body)).status_code == 200
        plain = await served.http.get("/v1/sketch")
        packed = await served.http.get("/v1/sketch", headers={"accept": "application/msgpack"})

    check("sketch_summed.json", plain.json())
    assert stable(msgspec.msgpack.decode(packed.content)) == stable(plain.json())


async def test_answers_keep_their_form(rain):
    for name, role in (("e-1", "shadow"), ("e-2", "")):
        headers = {"x-request-id": name, "x-modelyard-role": role}
        await rain.http.post(INFER, json={"inputs": rows([0.5, 1.0])}, headers=headers)

    answer = (await rain.http.get("/v1/answers")).json()

    assert codec.encode(codec.decode(Answers, answer)) == answer
    assert answer.pop("cursor") == f"{answer['boot']}.2"
    check("answers.json", answer)


@pytest.mark.parametrize("version", ["", "_1"])
def test_profiles_and_sketches_of_every_version_load(version):
    profile = codec.loads(Profile, (GOLDEN / f"profile{version}.json").read_bytes())
    sketch = json.loads((GOLDEN / f"sketch{version}.json").read_text())
    counts = codec.decode(
        Sketch, {**sketch, "boot": "b", "digest": "d", "at": "2026-01-01T00:00:00Z"}
    )

    assert profile == onnx_models.RAIN_PROFILE
    for role in counts.roles.values():
        for column in profile.numeric:
            assert len(role.features[column.name].bins) == len(column.counts)
