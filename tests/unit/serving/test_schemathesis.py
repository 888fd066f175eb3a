"""Schemathesis against the real program and the document that it serves finds nothing."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from support import serving

# A schema cannot say that shapes agree with data and with each other: 400 is a right answer to
# a request of the right form, and 413 to one with too many rows.
CONFIGURATION = """
[generation]
deterministic = true
max-examples = 20
[checks.positive_data_acceptance]
expected-statuses = ["200", "400", "413"]
"""


@pytest.mark.slow
def test_schemathesis_finds_nothing(rain_bundle, tmp_path):
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    with serving.program(rain_bundle) as program:
        program.wait_for("ready: rain version 1")
        paths = httpx.get(f"{program.url}/openapi.json").json()["paths"]
        command = [
            Path(sys.executable).with_name("schemathesis"),
            *("--config-file", configuration, "run", f"{program.url}/openapi.json"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--no-color"),
        ]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"Tested: {sum(map(len, paths.values()))}" in found.stdout
