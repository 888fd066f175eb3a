"""What the processes of a server cost, read from the kernel's own words."""

import os
import subprocess
import sys

from bench.serving import machine

SMAPS = """\
7f0000000000-7f0000002000 r--p 00000000 fd:00 1    /usr/lib/libm one.so
Rss:                   8 kB
Pss:                   4 kB
Anonymous:             0 kB
7f0000002000-7f0000004000 rw-p 00002000 fd:00 1    /usr/lib/libm one.so
Rss:                   8 kB
Pss:                   6 kB
Anonymous:             4 kB
7f0000010000-7f0000020000 rw-p 00000000 00:00 0    [heap]
Rss:                  64 kB
Pss:                  64 kB
Anonymous:            64 kB
7f0000020000-7f0000030000 rw-p 00000000 00:00 0
Rss:                  64 kB
Pss:                  64 kB
Anonymous:            64 kB
"""


def test_a_file_counts_with_its_pages_that_nobody_wrote():
    assert machine.file_kibibytes(SMAPS) == {"/usr/lib/libm one.so": 12}


def test_a_family_is_a_session_with_what_it_started():
    code = (
        "import subprocess, sys;"
        "child = subprocess.Popen(['sleep', '60']);"
        "print(child.pid, flush=True);"
        "child.wait()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        child = int(parent.stdout.readline())

        family = machine.family(parent.pid)

        os.killpg(parent.pid, 9)
    assert family == sorted([parent.pid, child])


def test_processes_come_first_for_a_while_where_that_is_allowed():
    command = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
            highest = os.SCHED_FIFO
        except PermissionError:
            highest = os.SCHED_OTHER

        with machine.coming_first([process.pid]):
            during = os.sched_getscheduler(process.pid)
        after = os.sched_getscheduler(process.pid)

        process.kill()
    assert (during, after) == (highest, os.SCHED_OTHER)
    with machine.coming_first([process.pid]):
        pass  # one that has ended does not matter


def test_this_process_has_used_time_and_memory():
    assert machine.processor_seconds([os.getpid()]) > 0
    assert machine.memory([]) == machine.Memory(0, 0)


def test_what_is_divided_with_strangers_is_no_more_than_what_is_not():
    found = machine.memory([os.getpid()])

    assert 10 < found.proportional <= found.alone
