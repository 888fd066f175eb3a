"""How the demo runs commands, waits and tells about it.  Standard library only."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Obj = dict[str, Any]

REPOSITORY = Path(__file__).parent.parent.parent
COMMAND_LIMIT_SECONDS = 120
LOOK_SECONDS = 1.0
CHANGE_SECONDS = 4.0
"""A state that changes all the time is told no more often."""
TELL_SECONDS = 15.0


class DidNotHappen(Exception):
    """Something that the story needs did not happen in its time."""


class Stage:
    """One namespace of one cluster, and the terminal in front of it."""

    def __init__(self, namespace: str, kubeconfig: Path, programs: Path) -> None:
        self.namespace = namespace
        self.began = time.monotonic()
        self.environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }
        self.base = ["kubectl", "-n", namespace]
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    # ---- telling ----------------------------------------------------------------------------

    def elapsed(self) -> str:
        """Return minutes and seconds since the demo began."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes:d}:{seconds:02d}"

    def chapter(self, number: int, title: str, expected: str) -> None:
        """Begin a chapter."""
        line = f"[{self.elapsed()}] {number}. {title}  (about {expected})"
        print(f"\n\033[1m{line}\033[0m" if self.colour else f"\n{line}", flush=True)

    def say(self, text: str) -> None:
        """Tell something that happened."""
        print(f"  {text}", flush=True)

    # ---- commands ---------------------------------------------------------------------------

    def kubectl(self, *arguments: str, shown: bool = True) -> str:
        """Run kubectl in the namespace, print the command, and return its output.

        Raises:
            DidNotHappen: the command failed; the message is what it said.
        """
        if shown:
            print(f"  $ {shlex.join([*self.base, *arguments])}", flush=True)
        done = subprocess.run(
            [*self.base, *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=COMMAND_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise DidNotHappen(f"kubectl {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def show(self, *arguments: str) -> None:
        """Run kubectl and print what it says, as a user would see it."""
        for line in self.kubectl(*arguments).rstrip().splitlines():
            print(f"    {line}", flush=True)

    def get(self, kind: str, name: str) -> Obj:
        """Return one object, or an empty one where it does not exist (yet)."""
        out = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json", shown=False)
        found: Obj = json.loads(out) if out.strip() else {}
        return found

    def status(self, kind: str, name: str) -> Obj:
        """Return an object's status, empty where there is none yet or it describes older wishes."""
        obj = self.get(kind, name)
        status: Obj = obj.get("status") or {}
        current = status.get("observedGeneration") == obj.get("metadata", {}).get("generation")
        return status if current else {}

    # ---- waiting ----------------------------------------------------------------------------

    def wait(
        self, what: str, happened: Callable[[], T | None], state: Callable[[], str], limit: float
    ) -> T:
        """Wait until something has happened and return it, telling how it goes.

        Raises:
            DidNotHappen: the time is up.
        """
        began, told = time.monotonic(), 0.0
        last = ""
        while True:
            if (found := happened()) is not None:
                self.say(f"✓ {what} ({time.monotonic() - began:.0f} s)")
                return found
            now, seen = time.monotonic(), state()
            if now - began > limit:
                raise DidNotHappen(f"{what}: not within {limit:.0f} s; last seen: {seen or '-'}")
            if now - told > (TELL_SECONDS if seen == last else CHANGE_SECONDS):
                self.say(f"… {what}: {now - began:.0f} s of at most {limit:.0f} s  {seen}")
                last, told = seen, now
            time.sleep(LOOK_SECONDS)
