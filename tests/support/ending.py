"""Programs that end with the tests that started them, however the tests end."""

import shutil
from collections.abc import Sequence
from pathlib import Path

_SETPRIV = shutil.which("setpriv")


def with_us(command: Sequence[str | Path]) -> list[str]:
    """Return the command of a program that the kernel kills when the thread that starts it is gone.

    A test ends its programs itself; a test process that is killed cannot.  The process is that of
    the program.  Where there is no setpriv, the command is as before.
    """
    words = [str(word) for word in command]
    return [_SETPRIV, "--pdeathsig", "KILL", *words] if _SETPRIV else words
