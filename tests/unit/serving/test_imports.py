"""What the program imports: a library that nothing needs costs memory and time in every pod."""

import json
import sys

import pytest

from modelyard_serving.deferred import defer
from support import serving
from support.serving import INFER, rows

USED = {"numpy", "onnxruntime", "google.protobuf.message", "starlette.routing", "uvicorn.server"}
NEEDLESS = {
    "click",
    "fastapi",
    "importlib.metadata",
    "ml_dtypes",
    "multiprocessing",
    "numpy.random",
    "numpy.testing",
    "onnx",
    "opentelemetry",
    "pydantic",
    "uvicorn.main",
}


@pytest.mark.slow
def test_a_server_that_answered_and_was_scraped_has_imported_nothing_needless(
    rain_bundle, monkeypatch
):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # each import becomes a line

    with serving.program(rain_bundle, GRPC_PORT=0, DRAIN_SECONDS=0) as program:
        program.wait_for("ready: rain version 1")
        body = json.dumps({"inputs": rows([0.5])}).encode()
        head = f"POST {INFER} HTTP/1.1\r\nhost: rain\r\nconnection: close\r\n"
        answer = program.converse(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        pages = [
            "/metrics",
            "/v1/sketch",
            "/v1/answers",
            "/v2/models/rain",
            "/v2/models/rain/stats",
        ]
        codes = [program.get(page).status_code for page in pages]
        program.wait_for("modelyard_serving.grpc.service")
        program.terminate()
        program.wait_for("Finished server process")

    imported = {line.rpartition("|")[2].strip() for line in program.lines}
    assert answer.startswith(b"HTTP/1.1 200")
    assert codes == [200] * len(pages)
    assert imported >= USED
    assert not imported & NEEDLESS


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "parcel").mkdir()
    (tmp_path / "parcel" / "__init__.py").write_text("from parcel.part import Part\nwhole = True\n")
    (tmp_path / "parcel" / "part.py").write_text("import parcel\n\nclass Part:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "parcel"
    for name in ("parcel", "parcel.part"):
        sys.modules.pop(name, None)


def test_a_part_of_a_deferred_package_comes_without_the_rest(package):
    defer(package, {"Part": "parcel.part"})

    import parcel.part

    assert parcel.Part is parcel.part.Part
    assert "whole" not in vars(parcel)


def test_a_deferred_package_is_whole_as_soon_as_more_of_it_is_asked_for(package):
    defer(package, {"Part": "parcel.part"})

    import parcel

    assert parcel.whole
    assert parcel.Part is sys.modules["parcel.part"].Part
    with pytest.raises(AttributeError, match="absent"):
        parcel.absent  # noqa: B018


def test_what_is_imported_already_stays_as_it_is(package):
    import parcel

    defer(package, {})

    assert sys.modules["parcel"] is parcel
    assert parcel.whole


def test_a_package_that_is_not_installed_is_still_not_there():
    defer("modelyard_absent", {})

    with pytest.raises(ModuleNotFoundError):
        import modelyard_absent  # noqa: F401
