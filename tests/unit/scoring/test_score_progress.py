"""What a person sees while rows are scored."""

import io
import logging

import pytest

from modelyard_serving.score.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def test_a_terminal_shows_a_bar_on_one_line(clock):
    out = Terminal()
    progress = Progress(4000, out, clock)

    clock.seconds += 2
    progress.add(1000)
    progress.end()

    assert out.getvalue() == (
        "\r[######------------------]  25%  1,000 of 4,000 rows, 500 rows/s, 6 s to go\033[K\n"
    )


def test_rows_that_were_there_count_as_done_and_not_as_fast(clock):
    progress = Progress(4000, io.StringIO(), clock)

    progress.skip(2000)
    clock.seconds += 1
    progress.add(500)

    assert progress.sentence() == "2,500 of 4,000 rows, 500 rows/s, 3 s to go"


def test_a_log_gets_a_line_every_few_seconds(clock, caplog):
    caplog.set_level(logging.INFO)
    progress = Progress(None, io.StringIO(), clock)

    for _ in range(100):
        clock.seconds += 0.11
        progress.add(11)

    assert [record.getMessage() for record in caplog.records] == [
        "506 rows, 100 rows/s",
        "1,012 rows, 100 rows/s",
    ]


def test_nothing_is_written_for_a_run_that_is_over_at_once(clock):
    out = Terminal()

    Progress(10, out, clock).end()

    assert out.getvalue() == ""
