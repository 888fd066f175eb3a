"""Logs as one JSON object a line."""

import json
import logging
import sys

from modelyard_core.logs import JsonLines


def test_a_record_is_one_line_of_json():
    try:
        int('a "quoted"\nword')
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("monitor", logging.WARNING, "f", 1, 'no "%s"', ("pod",), error)
    record.created = 0.0

    (line,) = JsonLines().format(record).splitlines()

    entry = json.loads(line)
    assert entry["time"] == "1970-01-01T00:00:00.000Z"
    assert (entry["level"], entry["message"]) == ("warning", 'no "pod"')
    assert "ValueError" in entry["traceback"]


def test_the_fields_of_a_document_follow():
    record = logging.LogRecord("operator", logging.INFO, "f", 1, "again", (), None)
    record.document = {"object": "shop/rain"}

    entry = json.loads(JsonLines().format(record))

    assert list(entry) == ["time", "level", "logger", "message", "object"]
