"""A process that cannot serve its bundle stays alive and says why, to whoever asks."""

import asyncio
import dataclasses

import pytest

from modelyard_core import bundle
from modelyard_serving import __main__ as program
from modelyard_serving import last_words, settings
from modelyard_serving.gate import Gate
from modelyard_serving.metrics import Metrics
from support import bundles, onnx_models, serving


async def reason(told):
    """Return what readiness answers after an attempt to load, and check that it is alive."""
    gate = Gate()
    await program.open_gate(gate, told)
    async with serving.client(gate, Metrics("rain", "1", "", ""), told.limits) as http:
        assert (await http.get("/v2/health/live")).status_code == 200
        answer = await http.get("/v2/health/ready")
    return answer.json().get("error", "ready")


async def test_a_good_bundle_opens_the_gate(tmp_path):
    assert await reason(serving.settings(bundles.write(tmp_path))) == "ready"


@pytest.mark.parametrize("name", [*bundle.SERVED_FILES, bundle.MANIFEST])
async def test_a_changed_file_keeps_it_shut(tmp_path, name):
    made = bundles.write(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-1] + b"?")

    assert "expected sha256:" in await reason(serving.settings(made))


@pytest.mark.parametrize("name", [*bundle.SERVED_FILES, bundle.MANIFEST])
async def test_a_missing_file_keeps_it_shut(tmp_path, name):
    made = bundles.write(tmp_path)
    (tmp_path / name).unlink()

    assert "the bundle cannot be read" in await reason(serving.settings(made))


async def test_a_model_that_cannot_be_loaded_keeps_it_shut(tmp_path):
    new = onnx_models.with_opset(onnx_models.rain(), 99)

    assert "the model needs opset 99" in await reason(
        serving.settings(bundles.write(tmp_path, new))
    )


async def test_a_signature_that_is_none_keeps_it_shut(tmp_path):
    made = bundles.write(tmp_path)
    files = {name: (tmp_path / name).read_bytes() for name in bundle.SERVED_FILES}
    (tmp_path / bundle.SIGNATURE).write_bytes(b"{}")
    made = bundles.write_manifest(tmp_path, {**files, bundle.SIGNATURE: b"{}"})

    assert "signature.json: Signature: " in await reason(serving.settings(made))


async def test_the_gate_is_open_only_once_everything_is_proven(tmp_path):
    gate = Gate()
    loading = asyncio.create_task(
        program.open_gate(gate, serving.settings(bundles.write(tmp_path)))
    )

    assert not gate.is_ready()
    await loading
    assert gate.is_ready()


GIVEN = {"MODELYARD_MODEL_NAME": "rain", "MODELYARD_MODEL_VERSION": "3", "MODELYARD_DIGEST": "d"}


def test_settings_come_from_the_environment():
    told = settings.parse_serve(
        {**GIVEN, "MODELYARD_MAX_BATCH_ROWS": "64", "MODELYARD_DRAIN_SECONDS": "2.5"}, 3
    )

    assert (told.model, told.version, told.digest) == ("rain", "3", "d")
    assert (told.limits.max_rows, told.limits.drain_seconds) == (64, 2.5)
    assert (told.port, told.limits.workers) == (8080, 3)
    assert told.limits.max_body_bytes == settings.Limits().max_body_bytes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"MODELYARD_MODEL_NAME": ""}, "MODELYARD_MODEL_NAME is not set", id="empty"),
        pytest.param({"MODELYARD_PORT": "http"}, "not a whole number", id="no-number"),
        pytest.param({"MODELYARD_MAX_BATCH_ROWS": "0"}, "at least 1", id="too-small"),
        pytest.param({"MODELYARD_DRAIN_SECONDS": "soon"}, "number of seconds", id="no-seconds"),
        pytest.param({"MODELYARD_DRAIN_SECONDS": "nan"}, "number of seconds", id="nan-seconds"),
        pytest.param({"MODELYARD_DRAIN_SECONDS": "-1"}, "number of seconds", id="the-past"),
    ],
)
def test_a_setting_without_a_usable_value_is_named(changes, sentence):
    with pytest.raises(settings.BadSetting, match=sentence):
        settings.parse_serve({**GIVEN, **changes})


def test_the_fetch_needs_an_address_and_a_digest():
    with pytest.raises(settings.BadSetting, match="MODELYARD_BUNDLE_DIGEST is not set"):
        settings.parse_fetch({"MODELYARD_BUNDLE_URI": "pvc://a/b"})


def test_there_is_always_a_cpu():
    assert settings.available_cpus() >= 1


@pytest.mark.slow
def test_the_reason_is_left_in_the_pods_status_too(tmp_path):
    untrue = dataclasses.replace(onnx_models.RAIN, inputs=onnx_models.RAIN.inputs[:2])
    made = bundles.write(tmp_path / "model", signature=untrue)
    log = tmp_path / "termination-log"
    with serving.program(made, TERMINATION_LOG=log) as running:
        running.wait_for("not ready, and will not be")

    assert log.read_text() == "input 'station' of the model is not in the signature"


def test_a_place_that_cannot_be_written_to_is_no_reason_to_fail(tmp_path):
    last_words.leave(tmp_path / "missing" / "log", "some words")
    last_words.leave(tmp_path / "log", "ü" * 2000)

    assert len((tmp_path / "log").read_bytes()) == last_words.MAX_BYTES
