"""`python -m bench.serving`: what `python -m bench serving` runs."""

import sys

from hack.terminal import Failure, exit_with

from bench.serving import command

if __name__ == "__main__":
    try:
        sys.exit(command.main(sys.argv[1:]))
    except Failure as failure:
        exit_with(failure)
