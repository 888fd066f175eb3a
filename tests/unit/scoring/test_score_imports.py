"""The program runs with what its image has, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[3] / "requirements" / "scoring.txt"
REFUSING = """
import importlib.metadata, sys

locked = set(sys.argv.pop(1).split(","))
owners = importlib.metadata.packages_distributions()

class Refusal:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        found = {owner.lower().replace("_", "-") for owner in owners.get(top, ())}
        if found and not found & (locked | {"modelyard"}):
            raise ModuleNotFoundError(f"{name} is not in the image", name=top)

sys.meta_path.insert(0, Refusal())
from modelyard_serving.score.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_it_needs_no_package_that_its_lock_does_not_have(rain):
    locked = [line.partition("==")[0] for line in LOCK.read_text().splitlines() if "==" in line]

    done = subprocess.run(
        [sys.executable, "-c", REFUSING, ",".join(locked), *rain.command("--keep", "id")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert rain.manifest()["rows"] == 1000
