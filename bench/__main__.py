"""`python -m bench [name] [arguments]`: run one of the benchmarks, or all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hack.terminal import Failure, exit_with, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def operator_scale(arguments: Sequence[str]) -> int:
    """How fast 200 custom resources are brought to rest, and what that costs in memory."""
    from bench import operator_scale as scale

    scale.main(arguments)
    return 0


def serving(arguments: Sequence[str]) -> int:
    """How fast the model server is, beside other Python model servers."""
    from bench.serving import command

    return command.main(arguments)


BENCHES: dict[str, Callable[[Sequence[str]], int]] = {
    "operator-scale": operator_scale,
    "serving": serving,
}


def main() -> int:
    """Run what the arguments name; return the exit code."""
    names, rest = sys.argv[1:2] or list(BENCHES), sys.argv[2:]
    if names[0] not in BENCHES:
        print(__doc__)
        for name, bench in BENCHES.items():
            print(f"  {name:16} {bench.__doc__}")
        return 0 if names[0] in ("-h", "--help", "list") else 2
    worst = 0
    for name in names:
        say(f"{name}: {BENCHES[name].__doc__}")
        worst = max(worst, BENCHES[name](rest))
    return worst


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        exit_with(failure)
