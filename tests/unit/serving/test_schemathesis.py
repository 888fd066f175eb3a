"""Schemathesis against the real program and the document that it serves finds nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import bundles, serving

# A schema cannot say that shapes agree with data and with each other: 400 is a right answer to
# a request of the right form, and 413 to one with too many rows.
CONFIGURATION = """
request-timeout = 120
suppress-health-check = ["too_slow"]
[generation]
deterministic = true
max-examples = 10
[checks.positive_data_acceptance]
expected-statuses = ["200", "400", "413"]
"""


@pytest.fixture(params=["several-inputs", "one-text-input"])
def bundle(request, rain_bundle, tmp_path):
    if request.param == "several-inputs":
        return rain_bundle
    return bundles.echo(tmp_path, "BYTES", (1, -1))


@pytest.mark.slow
def test_schemathesis_finds_nothing(bundle, tmp_path):
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    with serving.program(bundle) as program:
        program.wait_for("ready: rain version 1")
        paths = program.get("/openapi.json").json()["paths"]
        command = [
            Path(sys.executable).with_name("schemathesis"),
            *("--config-file", configuration, "run", f"{program.url}/openapi.json"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing", "--no-color"),
        ]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"Tested: {len(paths.keys() - {'/v2/'})}" in found.stdout  # it takes /v2/ for /v2
