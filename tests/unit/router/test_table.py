"""What is a table, and what is not."""

import json

import pytest

from modelyard_core import codec
from modelyard_core.routes import Arm, Mirror, RouteTable
from modelyard_router.table import InvalidTable, arms, parse

STABLE = {"revision": "rain-a", "host": "rain-a", "weight": 800}
CANARY = {"revision": "rain-b", "host": "rain-b", "weight": 200}
MIRROR = {"revision": "rain-b", "host": "rain-b", "percent": 50}
DOCUMENT = {"version": 3, "stable": STABLE, "canary": CANARY, "mirror": MIRROR}


def changed(**parts):
    return json.dumps({**DOCUMENT, **parts})


def test_a_table_is_read():
    expected = RouteTable(
        version=3,
        stable=Arm("rain-a", "rain-a", 800),
        canary=Arm("rain-b", "rain-b", 200),
        mirror=Mirror("rain-b", "rain-b", 50),
    )

    assert parse(json.dumps(DOCUMENT)) == expected
    assert parse(codec.dumps(expected)) == expected


def test_null_means_absent():
    table = parse(changed(stable={**STABLE, "weight": 1000}, canary=None, mirror=None))

    assert arms(table) == (table.stable,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param('{"version": 3, ', "not JSON", id="cut-off"),
        pytest.param("[]", "expected dict", id="not-an-object"),
        pytest.param("[" * 100_000, "recursion", id="too-deep"),
        pytest.param(changed(colour=1), "table: unknown field 'colour'", id="unknown-field"),
        pytest.param(
            changed(canary={**CANARY, "colour": 1}),
            "table.canary: unknown field 'colour'",
            id="unknown-field-inside",
        ),
        pytest.param(changed(stable=None), "stable", id="no-stable"),
        pytest.param(changed(version="3"), "expected int, got str", id="wrong-type"),
        pytest.param(changed(version=True), "expected int, got bool", id="a-bool-is-no-number"),
        pytest.param(changed(version=0), "version: expected 1", id="no-version"),
        pytest.param(changed(canary=None), "add up to 800, not 1000", id="weights"),
        pytest.param(
            changed(stable={**STABLE, "weight": -1}), "stable.weight: expected 0", id="negative"
        ),
        pytest.param(
            changed(canary={**CANARY, "revision": "rain-a"}), "the same revision", id="same-arms"
        ),
        pytest.param(
            changed(canary={**CANARY, "host": "evil.example.com"}),
            "canary.host: not a DNS label",
            id="host-of-another-namespace",
        ),
        pytest.param(
            changed(mirror={**MIRROR, "percent": 101}), "mirror.percent: expected 0", id="percent"
        ),
        pytest.param(
            changed(mirror={**MIRROR, "revision": "169.254.169.254"}),
            "mirror.revision: not a DNS label",
            id="address",
        ),
    ],
)
def test_what_is_not_understood_is_refused(text, sentence):
    with pytest.raises(InvalidTable, match=sentence):
        parse(text)
