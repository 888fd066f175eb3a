"""What the environment may say, and that the documentation says the same."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard_serving.settings import BadSetting, parse_fetch, parse_serve

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"
ROW = re.compile(r"^\| `(MODELYARD_\w+)` \|([^|]*)\|", re.MULTILINE)
NEEDED = {
    "MODELYARD_MODEL_NAME": "rain",
    "MODELYARD_MODEL_VERSION": "7",
    "MODELYARD_DIGEST": "sha256:0",
}
OF_THE_POD = "MODELYARD_WORKERS"


class Noting(dict[str, str]):
    """An environment that notes what is asked of it."""

    def __init__(self, *values, **more):
        super().__init__(*values, **more)
        self.asked: set[str] = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)


def table() -> dict[str, str]:
    """Return the variables of the page and their defaults."""
    return {name: default.strip() for name, default in ROW.findall(PAGE.read_text())}


def test_the_page_lists_every_variable_that_the_server_reads():
    environment = Noting(NEEDED)

    parse_serve(environment)

    assert set(table()) == environment.asked


def test_the_page_mentions_every_variable_that_the_fetch_reads():
    environment = Noting(MODELYARD_BUNDLE_URI="pvc://a/b", MODELYARD_BUNDLE_DIGEST="sha256:0")

    parse_fetch(environment)

    assert [name for name in environment.asked if f"`{name}`" not in PAGE.read_text()] == []


def test_the_defaults_of_the_page_are_the_defaults():
    told = {name: default for name, default in table().items() if name != OF_THE_POD}

    assert parse_serve(told | NEEDED) == parse_serve(NEEDED)
    assert {n for n, default in told.items() if not default} == {
        *NEEDED,
        "MODELYARD_REVISION",
        "MODELYARD_TLS_DIR",
        "MODELYARD_KEYS_FILE",
        "MODELYARD_RECEIPT_KEY_FILE",
    }


def test_a_variable_is_read():
    usual = parse_serve(NEEDED)

    read = parse_serve(NEEDED | {"MODELYARD_MAX_HEADERS": "7", "MODELYARD_TLS_DIR": "/tls"})

    limits = replace(usual.limits, max_headers=7)
    assert read == replace(usual, limits=limits, tls_folder=Path("/tls"))


@pytest.mark.parametrize("missing", NEEDED)
def test_what_is_needed_must_be_there(missing):
    with pytest.raises(BadSetting, match=f"{missing} is not set"):
        parse_serve({name: value for name, value in NEEDED.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_HEADERS", "0"),
        ("MAX_HEADERS", "-1"),
        ("MAX_HEADERS", "1.5"),
        ("MAX_HEADERS", "\uff11"),
        ("MAX_HEADERS", "many"),
        ("RECEIVE_SECONDS", "nan"),
        ("RECEIVE_SECONDS", "-1"),
        ("RECEIVE_SECONDS", "100000"),
        ("ROTATION_SECONDS", "0"),
        ("COALESCE", "yes"),
        ("GRPC_PORT", "none"),
        ("MAX_HELD_BYTES", "1000"),
        ("MAX_BODY_BYTES", "1000000000"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name, value):
    with pytest.raises(BadSetting, match=f"MODELYARD_{name}"):
        parse_serve(NEEDED | {f"MODELYARD_{name}": value})
