"""What makes a call of gRPC, what ends it, and in which words; frame by frame."""

import gzip
import zlib

import pytest

from modelyard_serving.errors import InvalidRequest
from modelyard_serving.grpc import status as grpc_status
from modelyard_serving.grpc.status import Status
from support.http2_client import Client, Echo, packed

INTERNAL, UNIMPLEMENTED = str(int(Status.INTERNAL)), str(int(Status.UNIMPLEMENTED))


class Locked:
    """Lets in who says please."""

    generation = 1

    def allows(self, header: bytes | None) -> bool:
        return header == b"please"


@pytest.mark.parametrize(
    ("headers", "code", "sentence"),
    [
        pytest.param({"path": "/a/B"}, UNIMPLEMENTED, "there is no method /a/B", id="path"),
        pytest.param({"te": ""}, INTERNAL, "te: trailers is missing", id="te"),
        pytest.param({"grpc_encoding": "br"}, UNIMPLEMENTED, "not gzip or deflate", id="packing"),
        pytest.param({"grpc_timeout": "1h"}, INTERNAL, "grpc-timeout", id="timeout"),
        pytest.param({"grpc_timeout": "123456789S"}, INTERNAL, "grpc-timeout", id="long-timeout"),
    ],
)
def test_headers_that_are_enough_to_refuse_a_call(headers, code, sentence):
    client = Client()

    client.call(b"x", **headers)

    status, message = client.ending()
    assert status == code
    assert sentence in message
    assert client.method.ends == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"method": "GET"}, "405", id="method"),
        pytest.param({"content_type": "application/json"}, "415", id="content-type"),
        pytest.param({"content_type": "application/grpc+json"}, "415", id="format"),
        pytest.param({"content_type": ""}, "415", id="none"),
    ],
)
def test_what_is_no_call_is_refused_over_http(headers, status):
    client = Client()

    client.call(b"x", **headers)

    assert client.fields(client.received()[0])[":status"] == status


@pytest.mark.parametrize(
    "content_type", ["application/grpc+proto", "application/grpc; charset=utf-8"]
)
def test_other_words_for_the_same_content_are_understood(content_type):
    client = Client()

    client.call(b"x", content_type=content_type)

    assert client.ending() == ("0", "")


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        pytest.param(b"", UNIMPLEMENTED, "no message", id="none"),
        pytest.param(packed(b"x") * 2, UNIMPLEMENTED, "more than one", id="two"),
        pytest.param(packed(b"xyz")[:-1], INTERNAL, "cut short", id="short"),
        pytest.param(b"\x00\x00", INTERNAL, "cut short", id="no-prefix"),
        pytest.param(packed(b"x", 1), INTERNAL, "do not say how", id="packed"),
        pytest.param(packed(b"x", 2), INTERNAL, "do not say how", id="an-unknown-flag"),
    ],
)
def test_bodies_that_hold_no_message(body, code, sentence):
    client = Client()

    client.data(client.open(), body)

    status, message = client.ending()
    assert status == code
    assert sentence in message
    assert client.method.ends == [Status(int(code))]
    assert client.shared.held.total == 0


def test_a_second_message_after_a_large_one_is_refused_not_waited_for():
    client = Client()
    number = client.open()
    for _ in range(10):
        client.data(number, b"" if _ else packed(bytes(16_000 * 10))[:5], ends=False)
        client.data(number, bytes(16_000), ends=False)

    client.data(number, packed(b"x")[:5], ends=False)

    assert client.ending()[0] == UNIMPLEMENTED


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        pytest.param("gzip", gzip.compress, id="gzip"),
        pytest.param("deflate", zlib.compress, id="deflate"),
    ],
)
def test_packed_messages_are_unpacked(encoding, pack):
    client = Client()
    number = client.open(grpc_encoding=encoding)
    client.data(number, packed(pack(b"hello"), 1))
    plain = client.open(grpc_encoding=encoding)
    client.data(plain, packed(b"plain"))

    answers = [frame.payload for frame in client.received() if frame.kind == 0]

    assert answers == [packed(b"hello"), packed(b"plain")]


def test_packed_bombs_are_not_unpacked():
    client = Client(max_body_bytes=10_000)
    number = client.open(grpc_encoding="gzip")

    client.data(number, packed(gzip.compress(bytes(10_001)), 1))

    assert client.ending()[0] == str(int(Status.RESOURCE_EXHAUSTED))


def test_messages_over_the_limit_are_refused_at_their_beginning():
    client = Client(max_body_bytes=100)

    client.data(client.open(), packed(bytes(101))[:5], ends=False)

    assert client.ending() == (
        str(int(Status.RESOURCE_EXHAUSTED)),
        "the message is over the limit of 100 bytes",
    )


def test_more_than_all_calls_together_may_hold_is_refused():
    client = Client(max_held_bytes=1000)
    client.data(client.open(), packed(bytes(900))[:800], ends=False)
    client.data(client.open(), packed(bytes(900))[:300], ends=False)

    assert client.ending()[0] == str(int(Status.UNAVAILABLE))
    assert client.shared.held.total == 800


def test_a_request_that_does_not_arrive_ends():
    client = Client(receive_seconds=0)
    client.open()

    client.server.sweep(0.0)

    assert client.ending() == (
        str(int(Status.DEADLINE_EXCEEDED)),
        "the request took over 0 s to arrive",
    )


def test_a_deadline_that_has_passed_before_anything_is_done_ends_the_call():
    client = Client()

    client.open(grpc_timeout="0n")
    client.server.arm()

    assert client.ending() == (
        str(Status.DEADLINE_EXCEEDED.value),
        "the deadline of the call has passed",
    )
    assert client.method.ends == [Status.DEADLINE_EXCEEDED]


def test_a_key_is_asked_for_and_remembered_no_longer_than_it_counts():
    access = Locked()
    client = Client(access=access)
    client.call(b"x")
    refused = client.ending()
    for _ in range(2):
        client.call(b"x", ("authorization", "please"))
        assert client.ending() == ("0", "")
    access.generation = 2
    access.allows = lambda _: False  # type: ignore[method-assign]
    client.call(b"x", ("authorization", "please"))

    assert refused[0] == client.ending()[0] == str(int(Status.UNAUTHENTICATED))
    assert client.rejected == ["Unauthorized"] * 2


def test_a_failing_method_ends_its_call_alone(caplog):
    def answer(message: bytes) -> bytes:
        if message == b"bug":
            raise ZeroDivisionError
        raise InvalidRequest("50 % of ünits")

    client = Client(Echo(answer))
    client.call(b"bug")
    bug = client.ending()
    client.call(b"bad")

    assert bug == (INTERNAL, grpc_status.BUG)
    assert client.ending() == (str(int(Status.INVALID_ARGUMENT)), "50 %25 of %C3%BCnits")
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]


def test_a_long_sentence_is_cut():
    assert len(grpc_status.escape("%" * 10_000)) == 3 * grpc_status.MAX_SENTENCE_BYTES


def test_every_error_of_this_room_has_a_status_and_a_code():
    from modelyard_serving import http_errors

    for error, status in grpc_status.STATUS.items():
        assert status in grpc_status.HTTP_CODES
        assert error in http_errors.STATUS
    assert set(http_errors.STATUS) == set(grpc_status.STATUS)
