"""HTTP/2 frame by frame: what breaks a connection, what a peer cannot make us keep, both windows."""

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_serving.grpc import http2_frames as frames
from modelyard_serving.grpc.http2 import IDLE_FRAMES, MAX_CONTINUATIONS, MAX_STREAMS
from modelyard_serving.grpc.http2_frames import Code, ConnectionFault, frame
from modelyard_serving.grpc.http2_headers import FLOOD, HeaderBlocks, Malformed, Oversized
from modelyard_serving.grpc.status import Status
from support.http2_client import Client, Echo, packed

PING = frame(frames.PING, 0, 0, b"8 bytes!")
OPEN = frames.END_HEADERS


def opened(client: Client) -> bytes:
    return frame(frames.HEADERS, OPEN, 1, client.block())


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(
            lambda _: frame(frames.DATA, 0, 1, bytes(frames.LARGEST_FRAME + 1)),
            Code.FRAME_SIZE_ERROR,
            id="a-frame-too-large",
        ),
        pytest.param(
            lambda c: frame(frames.HEADERS, OPEN, 2, c.block()), Code.PROTOCOL_ERROR, id="even"
        ),
        pytest.param(
            lambda c: frame(frames.HEADERS, 0, 1, c.block()) + PING,
            Code.PROTOCOL_ERROR,
            id="an-interrupted-block",
        ),
        pytest.param(
            lambda _: frame(frames.CONTINUATION, OPEN, 1), Code.PROTOCOL_ERROR, id="no-beginning"
        ),
        pytest.param(
            lambda _: frame(frames.HEADERS, OPEN, 1, b"\xff\xff\xff\xff\xff\xff"),
            Code.COMPRESSION_ERROR,
            id="broken-compression",
        ),
        pytest.param(
            lambda c: opened(c) + frame(frames.DATA, frames.PADDED, 1, b"\x09123"),
            Code.PROTOCOL_ERROR,
            id="more-padding-than-frame",
        ),
        pytest.param(
            lambda _: frames.window_update(0, frames.LARGEST_WINDOW),
            Code.FLOW_CONTROL_ERROR,
            id="a-window-too-large",
        ),
        pytest.param(
            lambda _: frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 1 << 31}),
            Code.FLOW_CONTROL_ERROR,
            id="an-impossible-window",
        ),
        pytest.param(
            lambda _: frame(frames.PUSH_PROMISE, OPEN, 1), Code.PROTOCOL_ERROR, id="a-push"
        ),
        pytest.param(
            lambda _: (
                frame(frames.HEADERS, 0, 1, b"\x00")
                + frame(frames.CONTINUATION, 0, 1) * (MAX_CONTINUATIONS + 1)
            ),
            Code.ENHANCE_YOUR_CALM,
            id="a-flood-of-continuations",
        ),
        pytest.param(
            lambda c: frame(frames.HEADERS, OPEN, 1, c.block(*[("a", "b" * 100)] * 3000)),
            Code.ENHANCE_YOUR_CALM,
            id="headers-that-unpack-to-too-much",
        ),
        pytest.param(lambda _: PING * (IDLE_FRAMES + 1), Code.ENHANCE_YOUR_CALM, id="pings"),
        pytest.param(
            lambda _: frames.settings({}) * (IDLE_FRAMES + 1), Code.ENHANCE_YOUR_CALM, id="settings"
        ),
        pytest.param(
            lambda c: opened(c) + frame(frames.DATA, 0, 1) * (IDLE_FRAMES + 1),
            Code.ENHANCE_YOUR_CALM,
            id="empty-data",
        ),
    ],
)
def test_a_broken_or_flooding_peer_is_cut_off(make, code):
    client = Client(max_header_bytes=16 * 1024)

    client.send(make(client))

    assert client.farewell() is code
    assert client.server.failed
    assert not client.server.streams


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("a", "b")] * 101, id="many"),
        pytest.param([("a", "b" * 100)] * 200, id="large-when-unpacked"),
        pytest.param([("a", "b" * 100_000)], id="large"),
    ],
)
def test_a_call_with_too_many_headers_is_refused_and_no_other(headers):
    client = Client()
    first = client.open()
    number = first + 2
    whole = client.block(*headers, ("x-after", "known"))
    pieces = [whole[at : at + frames.LARGEST_FRAME] for at in range(0, len(whole), 1 << 14)]
    kinds = [frames.HEADERS, *[frames.CONTINUATION] * (len(pieces) - 1)]
    for place, (kind, piece) in enumerate(zip(kinds, pieces, strict=True), 1):
        client.send(frame(kind, OPEN if place == len(pieces) else 0, number, piece))
    client.data(number, packed(b"unwanted"))

    assert client.ending() == (
        str(Status.RESOURCE_EXHAUSTED.value),
        "the metadata is over the limit of 32768 bytes and 100 fields",
    )
    assert client.rejected == ["TooLarge"]
    client.data(first, packed(b"hello"))
    assert client.ending() == ("0", "")
    client._number = number
    client.call(b"hello", ("x-after", "known"))  # read by what the refused block has left behind
    assert client.ending() == ("0", "")
    assert not client.server.failed


def test_trailers_with_too_many_headers_end_their_stream_alone():
    client = Client()
    number = client.open()
    client.send(
        frame(frames.HEADERS, OPEN | frames.END_STREAM, number, client.block(*[("a", "b")] * 101))
    )

    (reset,) = [f for f in client.received() if f.kind == frames.RST_STREAM]

    assert reset.payload == Code.ENHANCE_YOUR_CALM.to_bytes(4, "big")
    client.call(b"hello")
    assert client.ending() == ("0", "")


def test_what_is_no_http2_is_told_so():
    client = Client()
    fresh = Client.__new__(Client)
    fresh.__dict__ = client.__dict__ | {"server": type(client.server)(client.shared, None)}

    fresh.send(b"GET / HTTP/1.1\r\n\r\n")

    assert fresh.farewell() is Code.PROTOCOL_ERROR


def test_rapid_resets_end_the_connection_and_honest_calls_make_up_for_some():
    client = Client()
    for _ in range(3 * IDLE_FRAMES):
        number = client.call()
        client.send(frames.reset(number, Code.CANCEL))
    assert client.farewell() is None

    for _ in range(IDLE_FRAMES + 1):
        client.send(frames.reset(client.open(), Code.CANCEL))

    assert client.farewell() is Code.ENHANCE_YOUR_CALM
    assert client.method.ends.count(Status.CANCELLED) >= IDLE_FRAMES


def test_pings_over_a_long_time_are_welcome():
    client = Client()
    for _ in range(3 * IDLE_FRAMES):
        client.now += 1.0
        client.send(PING)

    assert client.farewell() is None


def test_a_stream_beyond_the_limit_is_refused_and_the_others_go_on():
    client = Client()
    numbers = [client.open() for _ in range(MAX_STREAMS + 1)]

    refused = [(f.stream, f.payload) for f in client.received() if f.kind == frames.RST_STREAM]
    client.data(numbers[0], packed(b"x"))

    assert refused == [(numbers[-1], Code.REFUSED_STREAM.to_bytes(4, "big"))]
    assert client.ending() == ("0", "")


def test_an_answer_waits_for_both_windows_and_keeps_to_them():
    client = Client(Echo(lambda _: b"a" * 100_000))
    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 1000}))
    client.call()

    def came() -> int:
        return sum(len(f.payload) for f in client.received() if f.kind == frames.DATA)

    assert came() == 1000
    client.send(frames.window_update(1, 50_000))
    assert came() == 50_000
    client.send(frames.window_update(1, 100_000))
    assert came() == frames.FIRST_WINDOW - 51_000
    assert client.shared.held.total == 100_005
    client.send(frames.window_update(0, 100_000))
    assert came() == 100_005 - frames.FIRST_WINDOW
    assert not client.server.streams
    assert client.shared.held.total == 0


def test_a_smaller_first_window_may_make_windows_negative():
    client = Client(Echo(lambda _: b"a" * 5000))
    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 1000}))
    client.call()
    client.received()

    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 0}))
    client.send(frames.window_update(1, 1000))
    assert [f.kind for f in client.received()] == [frames.SETTINGS]
    client.send(frames.window_update(1, 1))

    assert [len(f.payload) for f in client.received()] == [1]


def test_answers_that_nobody_takes_are_bounded_and_given_up_in_time():
    client = Client(Echo(lambda _: b"a" * 40_000), max_held_bytes=100_000, receive_seconds=30)
    client.send(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 0}))
    for _ in range(4):
        client.call()

    resets = [f.payload for f in client.received() if f.kind == frames.RST_STREAM]
    assert resets == [Code.ENHANCE_YOUR_CALM.to_bytes(4, "big")] * 2
    client.server.sweep(0.0)
    client.server.sweep(31.0)

    assert not client.server.streams
    assert client.shared.held.total == 0


def test_a_large_message_comes_through_the_windows_that_it_is_given():
    client = Client(Echo(lambda message: b"%d" % len(message)))
    number = client.open()
    body = packed(b"m" * 1_000_000)
    stream, connection, at = frames.FIRST_WINDOW, 16 << 20, 0
    while at < len(body):
        size = min(stream, connection, frames.LARGEST_FRAME, len(body) - at)
        assert size > 0, "the server keeps the client waiting for ever"
        client.data(number, body[at : at + size], ends=at + size == len(body))
        at, stream, connection = at + size, stream - size, connection - size
        if at == len(body):
            break
        for update in client.received():
            if update.kind == frames.WINDOW_UPDATE and update.stream:
                stream += frames.number(update.payload)
            elif update.kind == frames.WINDOW_UPDATE:
                connection += frames.number(update.payload)

    answer = next(f.payload for f in client.received() if f.kind == frames.DATA)
    assert answer[5:] == b"1000000"
    assert client.shared.held.total == 0


def test_data_beyond_the_window_resets_the_stream():
    client = Client()
    number = client.open()
    client.server.streams[number].window_in = 10

    client.data(number, packed(b"too long"))

    (reset,) = client.received()
    assert (reset.kind, reset.payload[-1]) == (frames.RST_STREAM, Code.FLOW_CONTROL_ERROR)


def test_padding_and_priority_change_nothing():
    client = Client()
    block = b"\x03\x80\x00\x00\x03\xff" + client.block() + bytes(3)
    flags = OPEN | frames.PADDED | frames.WITH_PRIORITY
    client.send(frame(frames.HEADERS, flags, 1, block))
    client.send(frame(frames.PRIORITY, 0, 1, b"\x00\x00\x00\x05\x00"))
    for byte in packed(b"padded"):
        client.send(frame(frames.DATA, frames.PADDED, 1, bytes((4, byte)) + bytes(4)))
    client.send(frame(frames.DATA, frames.END_STREAM, 1))

    assert [f.payload[5:] for f in client.received() if f.kind == frames.DATA] == [b"padded"]


def test_a_goodbye_loses_no_call():
    client = Client()
    client.server.announce_leaving()
    first, ping = client.received()
    client.call()  # was on its way
    assert client.ending() == ("0", "")

    running = client.open()
    client.send(frame(frames.PING, frames.ACK, 0, ping.payload))
    (last,) = client.received()
    late = client.open()

    assert frames.number(first.payload[:4]) == frames.LARGEST_WINDOW
    assert frames.number(last.payload[:4]) == running
    refused = client.received()
    assert [(f.kind, f.stream) for f in refused] == [(frames.RST_STREAM, late)]
    assert refused[0].payload == Code.REFUSED_STREAM.to_bytes(4, "big")
    client.data(running, packed(b"x"))
    assert client.ending() == ("0", "")
    assert client.server.leaving
    assert not client.server.streams


def test_a_client_that_says_goodbye_closes_the_connection_itself():
    client = Client()
    running = client.open()
    client.received()

    client.send(frames.goaway(0, Code.NO_ERROR, "bye"))
    client.data(running, packed(b"x"))
    answered = client.ending()
    client.send(PING)

    assert answered == ("0", "")
    assert [(f.kind, f.flags) for f in client.received()] == [(frames.PING, frames.ACK)]
    assert not client.server.leaving


NAMES = st.sampled_from([b"x-a", b"x-b", b"x-request-id", b"cookie"])
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from([b"1", b"2", b"a" * 50])), max_size=5)
STEPS = st.lists(st.tuples(HEADERS, st.sampled_from([None, 0, 100, 4096])), max_size=12)


@settings(deadline=None)
@given(STEPS)
def test_a_remembered_block_means_what_it_says(steps):
    """Whatever a client puts into the table, a block reads as it does without memory."""
    usual = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p")]
    blocks = HeaderBlocks(1 << 15, 100, lambda head: (dict(head.fields), True))
    encoder, plain = hpack.Encoder(), hpack.Decoder()
    for headers, size in [*steps, *steps]:
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode([*usual, *headers])
        wanted: dict[bytes, bytes] = {}
        for name, value in list(plain.decode(block, raw=True))[3:]:
            wanted[name] = wanted[name] + b"," + value if name in wanted else value
        assert blocks.request(block) == wanted


TEXTS = st.binary(max_size=8).map(lambda text: bytes((len(text),)) + text)
PLAIN = st.tuples(st.sampled_from([b"\x00", b"\x10"]), TEXTS, TEXTS).map(b"".join)
NAMED = st.tuples(st.integers(1, 14).map(lambda n: bytes((n,))), TEXTS).map(b"".join)
INDEXED = st.integers(0x80, 0xFF).map(lambda n: bytes((n,)))
PIECES = st.lists(PLAIN | NAMED | INDEXED | st.binary(max_size=6), max_size=8).map(b"".join)


@pytest.mark.slow
@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, min_size=1, max_size=4))
def test_blocks_are_read_as_the_library_reads_them(pieces):
    """The way round the library comes to the same fields, or to no other judgement."""
    plain = hpack.Decoder(max_header_list_size=300 * FLOOD)
    blocks = HeaderBlocks(300, 100, lambda head: (head, True))
    for block in pieces:
        try:
            wanted = [tuple(field) for field in plain.decode(block, raw=True)]
        except hpack.HPACKError:
            with pytest.raises(ConnectionFault):
                blocks.fields(block)
            return
        if sum(32 + len(name) + len(value) for name, value in wanted) > 300:
            with pytest.raises(Oversized):
                blocks.fields(block)
            continue
        assert [tuple(field) for field in blocks.fields(block)] == wanted


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(":path", "")], id="no-path"),
        pytest.param([(":path", "/x")], id="twice"),
        pytest.param([(":status", "200")], id="of-an-answer"),
        pytest.param([("X-Upper", "1")], id="upper-case"),
        pytest.param([("a b", "1")], id="no-name"),
        pytest.param([("a", "1\r\nb: 2")], id="a-line-break"),
        pytest.param([("a", " 1")], id="a-blank"),
        pytest.param([("connection", "close")], id="of-a-connection"),
        pytest.param([("te", "gzip")], id="te"),
        pytest.param([("content-length", "-1")], id="length"),
        pytest.param([("a", "1"), (":method", "POST")], id="late"),
    ],
)
def test_malformed_requests_are_reset(fields):
    client = Client()
    usual = [(":method", "POST"), (":scheme", "http"), (":path", "/p")]
    kept = [field for field in usual if fields != [(":path", "")] or field[0] != ":path"]
    block = hpack.Encoder().encode([*kept, *fields])
    client.send(frame(frames.HEADERS, OPEN, 1, block))

    assert [(f.kind, f.payload[-1]) for f in client.received()] == [
        (frames.RST_STREAM, Code.PROTOCOL_ERROR)
    ]
    with pytest.raises(Malformed):
        HeaderBlocks(1 << 15, 100, lambda head: (head, True)).request(block)


KINDS = st.integers(0, 11)
PAYLOADS = st.binary(max_size=40) | st.sampled_from(
    [bytes(4), bytes(5), bytes(8), b"\x7f\xff\xff\xff", packed(b"x"), packed(b"y" * 50, 1)]
)
BLOCK = hpack.Encoder().encode(
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/test.Echo/Say"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
)
FRAMES = (
    st.builds(frame, KINDS, st.integers(0, 255), st.integers(0, 12), PAYLOADS)
    | st.builds(
        frame,
        st.just(frames.HEADERS),
        st.sampled_from([OPEN, OPEN | 1, 0]),
        st.sampled_from([1, 3, 5, 7, 9, 11, 13, 15]),
        st.just(BLOCK),
    )
    | st.binary(max_size=30)
)


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(st.lists(FRAMES, max_size=40), st.integers(1, 64))
def test_no_bytes_break_the_server_or_stay_in_it(pieces, cut):
    client = Client(Echo(lambda message: message * 3), max_held_bytes=10_000)
    data = b"".join(pieces)

    for at in range(0, len(data), cut):
        client.send(data[at : at + cut])
        assert len(client.server.streams) <= MAX_STREAMS
        assert client.shared.held.total <= 10_000
    sent = len(b"".join(client.server.out))

    assert sent <= 20 * len(data) + 1000
    client.server.abandon()
    assert client.shared.held.total == 0
    assert not client.server.streams
