"""manifests/base out of the chart: what `helm template` says with the default values, without helm.

One description of the installation is enough; this is its other form.  `--check` writes nothing and
fails when the files are not current.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from hack import caches, programs
from hack.cluster import binaries
from hack.terminal import Failure, exit_with

CHART = caches.REPOSITORY / "charts" / "modelyard"
BASE = caches.REPOSITORY / "manifests" / "base"
RELEASE = ("modelyard", "--namespace", "modelyard-system")
HEAD = "# Written by `make crds` from charts/modelyard; do not edit.\n"
SOURCE = re.compile(r"^# Source: modelyard/templates/(?P<file>\S+)\n", re.MULTILINE)
HELMS_OWN = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)
"""Labels that are true of a release only; ours on children says `modelyard`."""


def helm() -> Path:
    """Return the helm that was built with the cluster, or the one on PATH.

    Raises:
        Failure: There is neither.
    """
    built = binaries.find()
    if built is not None and (built / "helm").exists():
        return built / "helm"
    if found := shutil.which("helm"):
        return Path(found)
    raise Failure("helm is needed: `make cluster-up` builds it, or install it")


def rendered(*arguments: str) -> str:
    """Return what the chart renders to, without its CRDs."""
    return programs.run(
        [helm(), "template", *RELEASE, CHART, "--set", "crds.enabled=false", *arguments]
    )


def files(text: str) -> dict[str, str]:
    """Return the content of each file: one for each of the chart's templates."""
    found: dict[str, list[str]] = {}
    for document in re.split(r"^---\n", text, flags=re.MULTILINE):
        if source := SOURCE.search(document):
            body = HELMS_OWN.sub("", document[source.end() :]).strip()
            found.setdefault(source["file"], []).append(body)
    return {name: HEAD + "\n---\n".join(bodies) + "\n" for name, bodies in found.items()}


def main(arguments: list[str]) -> None:
    """Write the files, or compare them.

    Raises:
        Failure: They are not current, or helm failed.
    """
    wanted = files(rendered())
    if "--check" not in arguments:
        for name, text in wanted.items():
            (BASE / name).write_text(text)
        return
    old = [name for name, text in wanted.items() if _read(BASE / name) != text]
    if old:
        raise Failure(
            f"not current, run `make crds`: {', '.join(f'manifests/base/{n}' for n in old)}"
        )


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failure as failure:
        exit_with(failure)
