"""`python -m bench [name] [arguments]`: run one of the benchmarks, or all of them."""

import subprocess
import sys

BENCHES = {
    "operator-scale": ("operator_scale", "custom resources brought to rest, and the memory of it"),
    "batch-scoring": ("batch_scoring", "rows a second of a scoring Job beside a bare loop"),
    "serving": ("serving", "the model server beside other Python model servers"),
}


def main() -> int:
    """Run what the arguments name; return the worst exit code."""
    names, rest = sys.argv[1:2] or list(BENCHES), sys.argv[2:]
    if names[0] not in BENCHES:
        print(__doc__)
        for name, (_, sentence) in BENCHES.items():
            print(f"  {name:16} {sentence}")
        return 0 if names[0] in {"list", "-h", "--help"} else 2
    worst = 0
    for name in names:
        module, sentence = BENCHES[name]
        print(f"==> {name}: {sentence}", flush=True)
        command = [sys.executable, "-m", f"bench.{module}", *rest]
        worst = max(worst, subprocess.run(command, check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
