"""h2spec, the conformance tests of HTTP/2, built from its Go module and kept between runs."""

from pathlib import Path

from hack import caches, go_programs, programs

FOLDER = Path(__file__).parent
PACKAGE = "github.com/summerwind/h2spec/cmd/h2spec"
BUILD_SECONDS = 600
RUN_SECONDS = 300
ANSWER_SECONDS = 30
"""How long one frame may take; no test waits for that on a server that conforms."""


def program() -> Path:
    """Return the program, built if these sources were not built before.

    Raises:
        Failure: Go is missing, or the build failed.
    """
    go = programs.run(["go", "version"], cwd=FOLDER)
    sources = ((FOLDER / name).read_bytes() for name in ("go.mod", "go.sum"))
    target = caches.cache_root() / "h2spec" / caches.key_of(go, PACKAGE, *sources)
    return go_programs.built(target, FOLDER, PACKAGE, timeout_seconds=BUILD_SECONDS)


def run(port: int, path: str) -> str:
    """Run all tests, the strict ones too, against a server, and return what they tell.

    Raises:
        Failure: one failed; the sentence has the last lines.
    """
    command = [program(), "-S", "-p", str(port), "-P", path, "-o", str(ANSWER_SECONDS)]
    return programs.run(command, timeout_seconds=RUN_SECONDS)
