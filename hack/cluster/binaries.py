"""Kubernetes, etcd, CoreDNS and helm, built from one go.mod and cached by what goes into them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from hack import caches, programs
from hack.cluster.layout import VERSION
from hack.terminal import Failure, say, step

SOURCES = Path(__file__).parent
NEEDED_GO = (1, 26)
FLAGS = ("-trimpath", "-buildvcs=false")
STAMP = (
    "-s -w"
    f" -X k8s.io/component-base/version.gitVersion=v{VERSION}"
    " -X k8s.io/component-base/version.gitMajor=1"
    " -X k8s.io/component-base/version.gitMinor=36"
)
OWN = ("dns", "volumes")
"""The programs whose source is here."""


def ensure() -> Path:
    """Return the folder with the programs, building them if no earlier run has.

    Raises:
        Failure: There is no Go, or the build failed.
    """
    go_version = _go_version()
    folder = caches.cache_root() / "bin" / cache_key(go_version)
    if not folder.exists():
        _build(folder)
    _point_to(folder)
    return folder


def find() -> Path | None:
    """Return the folder built last, if there is one."""
    newest = caches.cache_root() / "bin" / "current"
    return newest.resolve() if newest.exists() else None


def cache_key(go_version: str) -> str:
    """Return the key of the programs: modules, sums, our own sources, Go, flags."""
    inputs = [SOURCES / "go.mod", SOURCES / "go.sum"]
    inputs += [SOURCES / name / "main.go" for name in OWN]
    texts = [path.read_bytes() for path in inputs]
    return caches.key_of(go_version, STAMP, *FLAGS, *texts)


def is_new_enough(go_version: str) -> bool:
    """Tell whether `go version` names a release that go.mod accepts."""
    found = re.search(r"go(\d+)\.(\d+)", go_version)
    return found is not None and (int(found[1]), int(found[2])) >= NEEDED_GO


def _go_version() -> str:
    wanted = ".".join(str(part) for part in NEEDED_GO)
    if not programs.is_installed("go"):
        raise Failure(f"Go {wanted} or newer is needed to build Kubernetes: https://go.dev/dl")
    found = programs.run(["go", "version"], cwd=SOURCES).strip()
    if not is_new_enough(found):
        raise Failure(f"Go {wanted} or newer is needed to build Kubernetes, this is: {found}")
    return found


def _build(folder: Path) -> None:
    half = folder.with_name(folder.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    log = caches.cache_root() / "logs" / "go-build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    env = programs.environment(CGO_ENABLED="0")
    say(f"building Kubernetes {VERSION} from Go modules (8 minutes the first time; log: {log})")
    with step("building Kubernetes, etcd and helm"):
        _go_build(log, env, "-ldflags", STAMP, "-o", f"{half}/", "tool")
    with step("building CoreDNS and the volumes' watcher"):
        _go_build(log, env, "-ldflags", "-s -w", "-o", f"{half}/", *(f"./{name}" for name in OWN))
    (half / "dns").rename(half / "coredns")
    (half / "server").rename(half / "etcd")
    half.rename(folder)


def _go_build(log: Path, env: dict[str, str], *arguments: str) -> None:
    programs.run_logged(
        ["go", "build", *FLAGS, *arguments], log, env=env, cwd=SOURCES, timeout_seconds=3600
    )


def _point_to(folder: Path) -> None:
    link = folder.parent / "current"
    if link.is_symlink() and link.readlink() == Path(folder.name):
        return
    fresh = link.with_name("current.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.rename(link)
