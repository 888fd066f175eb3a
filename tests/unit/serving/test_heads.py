"""Which heads the fast way takes: only those that no two programs read in two ways."""

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core.roles import Role
from modelyard_serving.access import Everybody
from modelyard_serving.heads import MAX_HEADS, Head, Heads, Kind
from modelyard_serving.settings import Limits

LINE = "POST /v2/models/rain/infer HTTP/1.1"
PLAIN = ("host: rain", "content-length: 7")


def head(*fields: str, line=LINE, end="\r\n") -> bytes:
    return (end.join((line, *fields)) + end * 2).encode("latin-1")


def heads(access=None, **limits) -> Heads:
    return Heads("rain", "1", access or Everybody(), Limits(**limits))


def test_a_plain_head_is_taken_and_says_what_matters():
    fields = ("inference-header-content-length: 5", "x-modelyard-role: shadow")
    more = ("accept-encoding: gzip", "x-request-id: 4f")

    assert heads().find(head(*PLAIN, *fields, *more)) == (
        Head(Kind.INFER, 7, 5, Role.SHADOW, "gzip"),
        "4f",
    )


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("host: rain",), id="no-length"),
        pytest.param((*PLAIN, "content-length: 7"), id="two-lengths"),
        pytest.param((*PLAIN, "Content-Length: 8"), id="two-lengths-that-differ"),
        pytest.param(("content-length: +7",), id="a-sign"),
        pytest.param(("content-length: 7, 7",), id="a-list-of-lengths"),
        pytest.param(("content-length: 0x7",), id="hexadecimal"),
        pytest.param(("content-length: " + "9" * 16,), id="a-length-of-many-digits"),
        pytest.param((*PLAIN, "transfer-encoding: chunked"), id="chunked-and-a-length"),
        pytest.param(("transfer-encoding: chunked",), id="chunked"),
        pytest.param((*PLAIN, "transfer-encoding: identity"), id="identity"),
        pytest.param((*PLAIN, "Transfer-Encoding : chunked"), id="a-space-before-the-colon"),
        pytest.param((*PLAIN, "x: 1", " folded: 2"), id="a-folded-line"),
        pytest.param((*PLAIN, "expect: 100-continue"), id="expect"),
        pytest.param((*PLAIN, "connection: close"), id="close"),
        pytest.param((*PLAIN, "connection: keep-alive, content-length"), id="hop-by-hop-length"),
        pytest.param((*PLAIN, "connection: upgrade", "upgrade: h2c"), id="an-upgrade"),
        pytest.param((*PLAIN, "content-encoding: gzip"), id="packed"),
        pytest.param((*PLAIN, "te: trailers"), id="trailers"),
        pytest.param((*PLAIN, "x: a\nb: c"), id="a-bare-line-feed"),
        pytest.param((*PLAIN, "x: a\rb"), id="a-bare-carriage-return"),
        pytest.param((*PLAIN, "x: a\0b"), id="a-null"),
        pytest.param((*PLAIN, "x-request-id: a\0"), id="a-null-in-an-id"),
        pytest.param((*PLAIN, "x-request-id: a", "x-request-id: b"), id="two-ids"),
        pytest.param((*PLAIN, "x-request-id: a", "X-Request-Id: b"), id="two-ids-in-two-spellings"),
        pytest.param((*PLAIN, "host: snow"), id="two-hosts"),
        pytest.param(("content-length: 12",), id="no-host"),
        pytest.param((*PLAIN, "inference-header-content-length: x"), id="no-json-length"),
        pytest.param((*PLAIN, *(f"x{i}: 1" for i in range(100))), id="many-fields"),
        pytest.param((*PLAIN, "x: " + "a" * 5_000), id="long"),
    ],
)
def test_what_is_unusual_about_a_body_or_a_connection_is_left_to_the_parser(fields):
    assert heads().find(head(*fields)) is None


@pytest.mark.parametrize(
    "line",
    [
        "POST /v2/models/rain/infer HTTP/1.0",
        "POST /v2/models/rain/infer",
        "post /v2/models/rain/infer HTTP/1.1",
        "PUT /v2/models/rain/infer HTTP/1.1",
        "GET /v2/models/rain/infer HTTP/1.1",
        "POST /v2/models/rain/infer?a=1 HTTP/1.1",
        "POST /v2/models/rain/infer/ HTTP/1.1",
        "POST //v2/models/rain/infer HTTP/1.1",
        "POST /v2/models/r%61in/infer HTTP/1.1",
        "POST http://rain/v2/models/rain/infer HTTP/1.1",
        "POST /v2/models/snow/infer HTTP/1.1",
        "POST /v2/models/rain/versions/2/infer HTTP/1.1",
        "POST /v2/health/live HTTP/1.1",
    ],
)
def test_another_request_is_left_to_the_parser(line):
    assert heads().find(head(*PLAIN, line=line)) is None


def test_both_paths_of_the_model_are_known():
    line = "POST /v2/models/rain/versions/1/infer HTTP/1.1"

    assert heads().find(head(*PLAIN, line=line)) == heads().find(head(*PLAIN))


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_lines_that_end_in_another_way_are_left_to_the_parser(end):
    assert heads().find(head(*PLAIN, end=end) + b"\r\n\r\n") is None


def test_two_requests_are_not_one_head():
    first = head("host: rain", "content-length: 0")

    assert heads().find(first + head(*PLAIN)) is None


def test_heads_that_differ_in_a_request_s_own_headers_only_are_read_once():
    known = heads()
    for number in range(100):
        own = (f"x-request-id: id-{number}", f"traceparent: 00-{number:032x}-01")
        assert known.find(head(*PLAIN, *own)) == (Head(Kind.INFER, 7), f"id-{number}")

    assert known.remembered == 1


def test_a_cut_out_value_is_checked_every_time():
    known = heads()
    good = head(*PLAIN, "x-request-id: good")
    assert known.find(good) is not None

    for bad in (
        b"a\0",
        b"a b",
        b"\xff",
        b"",
        b"a" * 200,
        b"a\n",
        b"a\r\ntransfer-encoding: chunked",
    ):
        found = known.find(good.replace(b"good", bad))
        assert found is None or found[1] == bad.decode("latin-1")


def test_what_is_remembered_is_bounded():
    known = heads()
    for number in range(3 * MAX_HEADS):
        assert known.find(head("host: rain", f"content-length: {number}")) is not None
        assert known.remembered <= MAX_HEADS


class Door:
    """A judge whose key changes."""

    def __init__(self):
        self.generation = 0
        self.key = b"Bearer old"

    def allows(self, header):
        return header == self.key


def test_a_key_that_was_taken_away_opens_nothing_that_it_opened_before():
    door = Door()
    known = heads(door)
    old, new = (head(*PLAIN, f"authorization: Bearer {key}") for key in ("old", "new"))
    assert (known.find(old) is None, known.find(new) is None) == (False, True)

    door.key, door.generation = b"Bearer new", 1

    assert (known.find(old) is None, known.find(new) is None) == (True, False)
    assert known.find(head(*PLAIN)) is None
    probes = (
        head("host: rain", line=f"GET /v2/{path} HTTP/1.1")
        for path in ("health/live", "models/rain/ready")
    )
    assert [known.find(probe) is None for probe in probes] == [False, True]


class Heard:
    """What the parser of the slow way says about some bytes."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.heads = 0
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
            self.method = parser.get_method()
            self.failed = False
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.failed = True

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.heads += 1


FIELDS = st.sampled_from(
    [
        b"host: rain", b"content-length: 7", b"content-length: 8", b"Content-Length:  7", b"x: y",
        b"transfer-encoding: chunked", b"connection: close", b"connection: keep-alive", b"expect: 1",
        b"x-request-id: a", b"x-request-id: b\0", b"x-request-id:c", b"traceparent: 1", b"x : y", b" x",
        b"accept-encoding: gzip", b"upgrade: h2c", b"x-modelyard-role: canary", b"content-length : 7",
    ]
)  # fmt: skip
KNOWN = heads()


@settings(max_examples=400, deadline=None)
@given(
    st.lists(FIELDS, max_size=6),
    st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=2)), max_size=2),
)
def test_no_mutation_is_taken_for_what_the_parser_reads_otherwise(fields, changes):
    data = bytearray(b"\r\n".join((LINE.encode(), b"content-length: 7", *fields)) + b"\r\n\r\n")
    for place, piece in changes:
        data[place % len(data) : place % len(data) + 1] = piece
    whole = bytes(data)
    whole = whole[: whole.find(b"\r\n\r\n") + 4]
    found = KNOWN.find(whole)
    if found is None:
        return

    heard = Heard(whole)

    assert not heard.failed
    assert heard.heads == 1
    assert heard.url.endswith((b"/infer", b"/ready", b"/live"))
    lengths = [int(value) for name, value in heard.fields if name == b"content-length"]
    assert lengths == [found[0].length]
    names = [name for name, _ in heard.fields]
    assert len(names) == len(set(names))
    assert not {b"transfer-encoding", b"expect", b"upgrade"} & set(names)


VALUES = st.sampled_from(
    [b"abcdefgh", b"ijklmnop", b"a\r\nx: yz", b"a b c de", b"\0\0\0\0\0\0\0\0", b"h\xff345678"]
)
LINES = st.sampled_from(
    [b"x-request-id: %b", b"X-Request-Id: %b", b"traceparent:  %b", b"x-another-id: %b"]
)
LEARNT = heads()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(LINES, VALUES), max_size=3), st.permutations(PLAIN))
def test_what_was_learnt_from_others_changes_no_reading(own, plain):
    """Heads of one length, so that the places of values in one are looked at in the next."""
    lines = [line % value for line, value in own]
    lines.insert(len(lines) // 2, plain[0].encode())
    data = b"\r\n".join((LINE.encode(), *lines, plain[1].encode())) + b"\r\n\r\n"
    whole = data[: data.find(b"\r\n\r\n") + 4]

    assert LEARNT.find(whole) == heads().find(whole)
