"""Bytes that two readers could take for two different requests: each is refused, or has one meaning.

Behind each comes a request that must not be answered where the bytes before it were refused: what a
proxy took for a body would otherwise be a request here.
"""

import json

import pytest

from support import http_wire, serving
from support.serving import INFER, rows

BODY = json.dumps({"inputs": rows([0.5])}).encode()
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: rain\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: rain\r\nconnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def program(rain_bundle):
    with serving.program(rain_bundle, DRAIN_SECONDS=0, RECEIVE_SECONDS=2) as program:
        program.wait_for("ready: rain version 1")
        yield program


def post(*lines: bytes, body: bytes = BODY, start: bytes = b"POST %b HTTP/1.1") -> bytes:
    start = start.replace(b"%b", INFER.encode())
    return b"\r\n".join([start, b"host: rain", *lines, b"", b""]) + body


def length(text: bytes = b"%d" % len(BODY)) -> bytes:
    return b"content-length: " + text


CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
N = b"%d" % len(BODY)

REFUSED = {
    "two-equal-lengths": post(length(), length()),
    "two-lengths": post(length(), length(b"0")),
    "two-lengths-in-a-list": post(length(N + b", " + N)),
    "length-and-chunks": post(length(), CHUNKED, body=CHUNKS),
    "chunks-and-length": post(CHUNKED, length(), body=CHUNKS),
    "chunks-twice": post(CHUNKED, CHUNKED, body=CHUNKS),
    "chunks-twice-in-a-list": post(b"transfer-encoding: chunked, chunked", body=CHUNKS),
    "chunks-not-last": post(b"transfer-encoding: chunked, identity", body=CHUNKS),
    "chunks-with-a-typing-error": post(b"transfer-encoding: xchunked", body=CHUNKS),
    "chunks-with-a-parameter": post(b"transfer-encoding: chunked;q=1", body=CHUNKS),
    "chunks-in-quotes": post(b'transfer-encoding: "chunked"', body=CHUNKS),
    "chunks-behind-a-vertical-tab": post(b"transfer-encoding: \x0bchunked", body=CHUNKS),
    "identity": post(b"transfer-encoding: identity", body=b""),
    "identity-and-length": post(b"transfer-encoding: identity", length()),
    "packed-chunks": post(b"transfer-encoding: gzip, chunked", body=CHUNKS),
    "no-encoding-and-length": post(b"transfer-encoding:", length()),
    "a-space-before-the-colon-of-chunks": post(b"transfer-encoding : chunked", body=CHUNKS),
    "a-tab-before-the-colon-of-chunks": post(b"transfer-encoding\t: chunked", body=CHUNKS),
    "chunks-and-an-old-version": post(CHUNKED, body=CHUNKS, start=b"POST %b HTTP/1.0"),
    "a-space-before-the-colon-of-length": post(b"content-length : " + N),
    "a-folded-length": post(b"content-length:\r\n " + N),
    "a-folded-encoding": post(length(), b"transfer-encoding:\r\n\tchunked"),
    "a-folded-value": post(b"x: 1\r\n 2", length()),
    "a-fold-before-the-first-header": post(start=b"POST %b HTTP/1.1\r\n x: 1", body=b""),
    "length-with-plus": post(length(b"+" + N)),
    "length-with-minus": post(length(b"-" + N)),
    "length-below-zero": post(length(b"-1"), body=b""),
    "length-with-a-space": post(length(N[:1] + b" " + N[1:])),
    "length-in-hex": post(length(b"0x%x" % len(BODY))),
    "length-as-a-fraction": post(length(N + b".0")),
    "length-with-an-exponent": post(length(b"1e2")),
    "length-with-an-underscore": post(length(N[:1] + b"_" + N[1:])),
    "length-in-other-digits": post(length("\uff11\uff12".encode())),
    "length-over-64-bits": post(length(b"%d" % (2**64 + len(BODY)))),
    "length-over-all": post(length(b"9" * 400)),
    "an-empty-length": post(length(b"")),
    "bare-line-feeds": post(length()).replace(b"\r\n", b"\n", 4),
    "one-bare-line-feed": post(b"x: 1\ny: 2", length()),
    "a-bare-line-feed-at-the-end-of-the-head": post(length(), body=b"").replace(
        b"\r\n\r\n", b"\r\n\n"
    ),
    "one-bare-carriage-return": post(b"x: 1\ry: 2", length()),
    "a-doubled-carriage-return": post(b"x: 1\r", length()),
    "a-carriage-return-before-the-end": post(length(), b"\r", body=BODY),
    "nul-in-a-value": post(b"x: \0", length()),
    "nul-in-a-name": post(b"x\0: 1", length()),
    "a-control-character-in-a-value": post(b"x: \x01", length()),
    "a-space-in-a-name": post(b"content length: 1", length()),
    "no-colon": post(b"chunked", length()),
    "no-name": post(b": 1", length()),
    "a-name-in-brackets": post(b"x(1): 1", length()),
    "no-version": b"GET /v2\r\n\r\n",
    "no-version-and-headers": b"GET /v2\r\nhost: rain\r\n\r\n",
    "a-later-version": post(length(), start=b"POST %b HTTP/2.0"),
    "an-unknown-version": post(length(), start=b"POST %b HTTP/1.2"),
    "a-long-version": post(length(), start=b"POST %b HTTP/1.10"),
    "a-small-version": post(length(), start=b"POST %b http/1.1"),
    "another-protocol": post(length(), start=b"POST %b ICAP/1.0"),
    "the-preface-of-http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a-tab": post(length(), start=b"POST\t%b HTTP/1.1"),
    "a-third-word": post(length(), start=b"POST %b x HTTP/1.1"),
    "a-space-at-the-end": post(length(), start=b"POST %b HTTP/1.1 "),
    "a-small-method": post(length(), start=b"post %b HTTP/1.1"),
    "an-unknown-method": post(length(), start=b"POSTS %b HTTP/1.1"),
    "nul-in-the-target": post(length(), start=b"POST %b\0 HTTP/1.1"),
    "a-byte-over-ascii-in-the-target": post(length(), start=b"POST %b\xff HTTP/1.1"),
    "a-fragment": post(length(), start=b"POST %b#x HTTP/1.1"),
    "no-target": post(length(), start=b"POST HTTP/1.1"),
    "a-tunnel": b"CONNECT rain:80 HTTP/1.1\r\nhost: rain\r\n\r\n",
    "a-chunk-size-with-plus": post(CHUNKED, body=b"+" + CHUNKS),
    "a-chunk-size-with-minus": post(CHUNKED, body=b"-" + CHUNKS),
    "a-chunk-size-in-hex-form": post(CHUNKED, body=b"0x" + CHUNKS),
    "a-space-before-a-chunk-size": post(CHUNKED, body=b" " + CHUNKS),
    "an-empty-chunk-size": post(CHUNKED, body=b"\r\n" + CHUNKS),
    "a-chunk-size-over-64-bits": post(CHUNKED, body=b"1" + b"0" * 16 + CHUNKS),
    "a-chunk-size-with-an-underscore": post(CHUNKED, body=b"1_0\r\n" + b"x" * 16 + b"\r\n"),
    "a-bare-line-feed-after-a-chunk-size": post(CHUNKED, body=CHUNKS.replace(b"\r\n", b"\n", 1)),
    "a-bare-line-feed-after-a-chunk": post(CHUNKED, body=CHUNKS.replace(b"\r\n0", b"\n0")),
    "a-bare-line-feed-in-an-extension": post(CHUNKED, body=b"5;x\nGET /\r\n12345\r\n0\r\n\r\n"),
    "a-chunk-that-is-too-long": post(CHUNKED, body=b"1\r\n12\r\n0\r\n\r\n"),
    "a-bare-line-feed-at-the-end-of-chunks": post(
        CHUNKED, body=CHUNKS.removesuffix(b"\r\n") + b"\n"
    ),
    "a-length-in-a-trailer": post(
        CHUNKED, body=CHUNKS.removesuffix(b"\r\n") + b"content-length: 100\r\n\r\n"
    ),
    "two-hosts": post(b"host: other", length()),
    "no-host": post(length()).replace(b"host: rain\r\n", b""),
    "a-folded-trailer": post(CHUNKED, body=CHUNKS.removesuffix(b"\r\n") + b"x: 1\r\n 2\r\n\r\n"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(program, data):
    before, refusal = split(program.converse(data + HIDDEN))

    assert refusal.status in (400, 501, 505)
    assert refusal.closes
    assert json.loads(refusal.body)["error"]
    assert before == []


def split(data: bytes) -> tuple[list[http_wire.Answer], http_wire.Answer]:
    *before, last = http_wire.answers(data)
    return before, last


ONE_MEANING = {
    "chunks": post(CHUNKED, body=CHUNKS),
    "chunks-in-capitals": post(b"Transfer-Encoding: CHUNKED", body=CHUNKS),
    "chunks-behind-a-tab": post(b"transfer-encoding:\tchunked", body=CHUNKS),
    "an-extension": post(CHUNKED, body=CHUNKS.replace(b"\r\n", b';a=b;c="d"\r\n', 1)),
    "a-trailer": post(CHUNKED, body=CHUNKS.removesuffix(b"\r\n") + b"x: 1\r\n\r\n"),
    "a-trailer-that-would-be-a-header": post(
        CHUNKED,
        body=CHUNKS.removesuffix(b"\r\n") + b"content-encoding: gzip\r\nexpect: x\r\n\r\n",
    ),
    "a-chunk-size-with-zeros": post(CHUNKED, body=b"000" + CHUNKS),
    "a-chunk-size-in-capitals": post(
        CHUNKED, body=b"%X\r\n%b\r\n0\r\n\r\n" % (len(BODY) + 9, BODY + b" " * 9)
    ),
    "length": post(length()),
    "length-with-zeros": post(length(b"000" + N)),
    "length-with-spaces-around": post(b"content-length: \t " + N + b" \t"),
    "length-without-a-space": post(b"CONTENT-LENGTH:" + N),
    "an-underscore-in-a-name": post(b"transfer_encoding: chunked", b"content_length: 0", length()),
    "an-empty-value": post(b"x:", length()),
    "a-value-over-ascii": post(b"x: \xff", length()),
    "a-line-before": b"\r\n" + post(length()),
    "the-absolute-form": post(length(), start=b"POST http://other%b HTTP/1.1"),
    "two-spaces": post(length(), start=b"POST  %b HTTP/1.1"),
    "a-query": post(length(), start=b"POST %b?x HTTP/1.1"),
    "an-empty-host": post(length()).replace(b"host: rain", b"host:"),
    "expect": post(length(), b"expect: 100-continue"),
}


@pytest.mark.parametrize("data", ONE_MEANING.values(), ids=ONE_MEANING)
def test_what_has_one_meaning_is_answered_and_so_is_what_follows(program, data):
    before, last = split(program.converse(data + LAST))

    final = [answer for answer in before if answer.status >= 200]
    assert [answer.status for answer in final] == [200]
    assert json.loads(final[0].body)["model_name"] == "rain"
    assert (last.status, last.closes) == (404, True)


def test_an_old_client_may_keep_its_connection_only_by_our_leave(program):
    old = post(length(), b"connection: keep-alive", start=b"POST %b HTTP/1.0")

    before, last = split(program.converse(old + HIDDEN))

    assert (before, last.status, last.closes) == ([], 200, True)


@pytest.mark.parametrize("data", [REFUSED["two-lengths"], b"\0"], ids=["a-head", "noise"])
def test_good_requests_before_a_bad_one_are_answered_first_and_none_after(program, data):
    answered, refusal = split(program.converse(post(length()) * 3 + data + post(length()) * 3))

    assert [answer.status for answer in answered] == [200] * 3
    assert (refusal.status, refusal.closes) == (400, True)


def test_a_body_that_looks_like_a_request_is_a_body(program):
    with program.connect() as connection:
        connection.sendall(post(length(b"%d" % len(HIDDEN)), body=HIDDEN) + LAST)
        first, last = http_wire.answers(serving.read_all(connection))

    assert (first.status, last.status) == (400, 404)
    assert b"/last" in last.body


@pytest.mark.parametrize(("fields", "code"), [(97, 200), (99, 431)])
def test_a_head_has_a_hundred_fields_at_most(program, fields, code):
    more = (b"x-%d: 1" % number for number in range(fields))

    (answer,) = http_wire.answers(program.converse(post(length(), b"connection: close", *more)))

    assert (answer.status, answer.closes) == (code, True)
