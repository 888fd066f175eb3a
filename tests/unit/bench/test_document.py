"""The figures in the documentation are those of the result that is kept beside the bench."""

import pytest
from bench.serving import report

TEXT = f"Before.\n\n{report.BEGIN}\nold figures\n{report.END}\n\nAfter.\n"


def test_the_documentation_shows_the_last_result():
    text = report.DOCUMENT.read_text()

    assert report.documented(text, report.last()) == text


def test_only_what_is_between_the_marks_is_replaced():
    row = report.Row("json", "a peer", "requests/s", 2000.0, 1000.0, 2.0, report.Bar(25))
    machine = {"processor": "a chip", "cores": 2, "kernel": "6.1.0-x", "python": "3.11.7"}
    versions = {"peer": {"peer": "1.0", "uvicorn": "0.54"}}
    told = report.document([row], machine, versions, "2026-01-01T00:00:00+00:00")

    text = report.documented(TEXT, told)

    assert text.startswith(f"Before.\n\n{report.BEGIN}\nMeasured 2026-01-01 on a chip, 2 cores")
    assert text.endswith(f"- peer: peer 1.0, uvicorn 0.54\n{report.END}\n\nAfter.\n")
    assert "old figures" not in text
    assert report.documented(text, told) == text


def test_a_document_without_marks_is_refused():
    with pytest.raises(ValueError, match="is not in the document"):
        report.documented("no marks", None)
