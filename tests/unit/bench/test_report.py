"""What decides in the bench's report: paired ratios, bars, and the forms that people read."""

import json

import pytest
from bench.serving import figures, report
from bench.serving.report import Bar, Row


def test_a_machine_that_slows_down_changes_no_paired_ratio():
    quiet, busy, stolen = 1.0, 0.5, 0.05

    ratio = figures.paired_ratio(
        [1000 * speed for speed in (quiet, busy, stolen)],
        [100 * speed for speed in (quiet, busy, stolen)],
    )

    assert ratio == pytest.approx(10)


def test_one_disturbed_round_decides_nothing():
    assert figures.paired_ratio([100, 100, 1], [10, 10, 10]) == 10


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param([], [], id="no-rounds"),
        pytest.param([1.0], [0.0], id="nothing-was-measured"),
        pytest.param([1.0, 2.0], [1.0], id="not-equally-many"),
    ],
)
def test_a_ratio_needs_figures_on_both_sides(ours, theirs):
    with pytest.raises(ValueError, match=r"figure|argument"):
        figures.paired_ratio(ours, theirs)


@pytest.mark.parametrize(
    ("row", "met"),
    [
        pytest.param(Row("c", "a", "rps", 9, 3, 3.0, Bar(3)), True, id="at-the-bar"),
        pytest.param(Row("c", "a", "rps", 9, 3, 2.9999, Bar(3)), False, id="not-rounded-up"),
        pytest.param(Row("c", "a", "µs", 1, 2, 0.5, Bar(0.55, at_most=True)), True, id="less"),
        pytest.param(Row("c", "", "ms", 0.3, bar=Bar(0.2, at_most=True)), False, id="ours-alone"),
        pytest.param(Row("c", "a", "rps", 9, 3, 3.0), None, id="no-bar"),
        pytest.param(Row("c", "a", "rps", note="gone", bar=Bar(3)), None, id="not-measured"),
    ],
)
def test_a_bar_holds_for_the_ratio_or_else_for_ours(row, met):
    assert row.met is met


def test_what_was_not_measured_stays_in_the_document():
    row = Row("json", "a peer", "", note="not measured: it cannot be installed")

    told = report.document([row], {"cores": 2}, {"ours": {}}, "2026-01-01T00:00:00+00:00")

    assert row.is_missing
    assert told["rows"] == [
        {
            "case": "json",
            "against": "a peer",
            "ours": None,
            "theirs": None,
            "unit": "",
            "ratio": None,
            "bar": None,
            "met": None,
            "note": "not measured: it cannot be installed",
        }
    ]


def test_figures_are_written_without_digits_that_mean_nothing():
    row = Row("json", "a peer", "requests/s", 98765.4, 1234.56, 79.987, Bar(25))

    told = row.encoded()

    assert (told["ours"], told["theirs"], told["ratio"]) == (98800, 1230, 80.0)
    assert (told["bar"], told["met"]) == (">= 25", True)


def test_a_result_replaces_the_one_before_it_whole(tmp_path):
    path = tmp_path / "results" / "serving.json"

    report.write(path, {"rows": [1] * 100})
    report.write(path, {"rows": [], "note": "µs"})

    assert json.loads(path.read_text()) == {"rows": [], "note": "µs"}
    assert [found.name for found in path.parent.iterdir()] == ["serving.json"]


def test_both_tables_show_a_bar_that_is_not_met():
    rows = [
        Row("json", "a peer", "requests/s", 2000.0, 1000.0, 2.0, Bar(25)).encoded(),
        Row("start", "", "s", 0.5, bar=Bar(0.6, at_most=True), note="warm cache").encoded(),
    ]

    text, markdown = report.text_table(rows), report.markdown_table(rows)

    assert "NOT MET" in text.splitlines()[1]
    assert "met · warm cache" in text.splitlines()[2]
    assert "| json | a peer | 2,000 | 1,000 | requests/s | 2 | ≥ 25 | NOT MET |" in markdown
    assert markdown.splitlines()[1] == "| --- " * len(report.HEADINGS) + "|"
