"""The program runs with what its image has, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[3] / "requirements" / "scoring.txt"
REFUSING = '''
import importlib.metadata, sys

locked = set(sys.argv.pop(1).split(","))
owners = importlib.metadata.packages_distributions()

class Image:
    """Finds what another finder does, as far as it is in the image."""

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        found = {owner.lower().replace("_", "-") for owner in owners.get(top, ())}
        if found and not found & (locked | {"modelyard"}):
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Image, sys.meta_path)
from modelyard_serving.score.__main__ import main
main(sys.argv[1:])
'''


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
