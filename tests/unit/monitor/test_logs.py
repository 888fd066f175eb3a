"""Logs as one JSON object a line."""

import json
import logging
import sys

from modelyard_monitor.logs import JsonLines


def test_a_record_is_one_line_of_json():
    try:
        int('a "quoted"\nword')
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("monitor", logging.WARNING, "f", 1, 'no "%s"', ("pod",), error)
    record.created = 0.0

    (line,) = JsonLines().format(record).splitlines()

    entry = json.loads(line)
    assert entry["time"] == "1970-01-01T00:00:00.000+00:00"
    assert (entry["level"], entry["message"]) == ("warning", 'no "pod"')
    assert "ValueError" in entry["error"]
