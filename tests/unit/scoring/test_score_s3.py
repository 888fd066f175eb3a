"""Rows in S3 and predictions to S3, against a real server."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
import pytest
import yaml
from hack import programs

from support import bundles, ports, s3, scoring

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[3] / "examples" / "scoring" / "job-s3.yaml"


@pytest.fixture(scope="module")
def server(tmp_path_factory, pytestconfig):
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled(), s3.running(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture
def in_s3(rain, rain_rows, server, request, monkeypatch):
    """The rain rows in the bucket, and an output folder there."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    key = f"{s3.BUCKET}/{request.node.name.partition('[')[0]}"
    with server.files().open_output_stream(f"{key}/rows.parquet") as stream:
        pa.parquet.write_table(rain_rows, stream, row_group_size=100)
    rain.arguments += ["--in", f"s3://{key}/rows.parquet", "--out", f"s3://{key}/out"]
    return key


def read(server, key):
    return pa.dataset.dataset(f"{key}/out", format="parquet", filesystem=server.files()).to_table()


def names(server, key):
    found = server.files().get_file_info(pa.fs.FileSelector(f"{key}/out", allow_not_found=True))
    return sorted(info.base_name for info in found)


def test_rows_come_from_s3_and_predictions_go_there(rain, in_s3, server):
    assert rain.run("--keep", "id") == 0

    parts = [f"part-0000{index}.parquet" for index in range(4)]
    assert names(server, in_s3) == ["_manifest.json", "_run.json", *parts]
    assert read(server, in_s3)["id"].to_pylist() == list(range(1000))


def test_predictions_in_s3_are_those_of_a_local_run(rain, in_s3, server):
    rain.run()
    here = scoring.Scoring(rain.folder, rain.bundle, rain.input)

    here.run()

    assert repr(read(server, in_s3).to_pylist()) == repr(here.table().to_pylist())


def test_a_compressed_csv_streams_from_s3(rain, in_s3, server, rain_rows):
    name = f"{in_s3}/rows.csv.gz"
    with server.files().open_output_stream(name, compression="gzip") as stream:
        pa.csv.write_csv(rain_rows, stream)

    assert rain.run("--in", f"s3://{name}") == 0
    assert rain.said()["rows"] == 1000


def test_finished_parts_are_kept_and_a_new_object_is_seen_by_its_tag(
    rain, in_s3, server, rain_rows
):
    rain.run()
    server.files().delete_file(f"{in_s3}/out/part-00002.parquet")
    assert rain.run() == 0
    assert rain.said()["found_parts"] == 3

    # As many bytes, other content: only the entity tag tells.
    plain = {"compression": "none", "use_dictionary": False, "row_group_size": 100}
    for seed in (1, 2):
        numbers = scoring.rain_table(1000, seed).select(["wind"])
        table = rain_rows.set_column(2, "wind", numbers["wind"])
        with server.files().open_output_stream(f"{in_s3}/rows.parquet") as stream:
            pa.parquet.write_table(table, stream, **plain)
        assert rain.run() == 0
        assert rain.said()["found_parts"] == 0


def test_a_process_that_is_killed_leaves_nothing_that_looks_finished(rain, in_s3, server):
    command = [sys.executable, "-m", "modelyard_serving.score", *rain.command()]
    with subprocess.Popen(command, env=dict(os.environ)) as process:
        programs.wait_until(
            lambda: process.poll() is not None or "part-00000.parquet" in names(server, in_s3),
            timeout_seconds=s3.PATIENCE_SECONDS,
            pause_seconds=0.005,
        )
        process.send_signal(signal.SIGKILL)

    assert rain.run() == 0
    assert rain.said()["rows"] == 1000
    assert read(server, in_s3).num_rows == 1000


def test_the_job_of_the_example_does_its_work(rain_rows, server, tmp_path):
    """Its arguments, and no variables but those that its Secret has."""
    made = bundles.in_store(tmp_path / "store")
    job = EXAMPLE.read_text().replace("${MODEL}", made.uri).replace("${BUCKET}", "lake")
    (container,) = yaml.safe_load(job)["spec"]["template"]["spec"]["containers"]
    server.files().create_dir("lake")
    with server.files().open_output_stream("lake/rows.parquet") as stream:
        pa.parquet.write_table(rain_rows.rename_columns({"id": "day"}), stream)
    secret = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL")

    done = subprocess.run(
        [
            *(sys.executable, "-m", "modelyard_serving.score", *container["args"]),
            *("--store", str(tmp_path / "store"), "--termination-log", os.devnull),
        ],
        env={name: server.environment()[name] for name in secret},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 1000
    made = pa.dataset.dataset("lake/predictions/rain", format="parquet", filesystem=server.files())
    assert made.schema.names == ["day", "label", "probabilities"]


def test_a_wrong_secret_ends_with_10(rain, in_s3, server, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    code, reason, _ = rain.refused()

    assert (code, reason) == (10, "AccessDenied")


def test_a_missing_object_ends_with_11(rain, in_s3):
    name = f"s3://{in_s3}/nothing.parquet"

    assert rain.refused("--in", name) == (11, "DataNotFound", f"there is no {name}")


def test_a_missing_bucket_ends_with_10(rain, in_s3):
    assert rain.refused("--out", "s3://no-such-bucket/out")[0] == 10


def test_an_endpoint_that_does_not_answer_ends_with_20(rain, in_s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ports.free_port()}")

    code, reason, sentence = rain.refused()

    assert (code, reason) == (20, "Unavailable")
    assert urlsplit(sentence.split()[0]).scheme == "s3"
