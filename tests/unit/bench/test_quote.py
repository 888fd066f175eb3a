"""What the front page says of a result: the small ratios, too, and nothing that was not measured."""

from bench.serving import quote
from bench.serving.report import Row

ROWS = [
    Row(quote.MANY, "MLServer", "requests/s", 90_000, 3_000, 30.0),
    Row(quote.MANY, "MLServer", "µs of CPU/request", 10, 400, 0.025),
    Row(quote.MANY, "uvicorn, bare ASGI echo", "requests/s", 90_000, 40_000, 2.25),
    Row(quote.MANY, "raw onnxruntime", "requests/s", 90_000, 200_000, 0.45),
    Row(quote.ONE, "MLServer", "ms", 0.1, 0.6, 6.0),
    Row(quote.ONE, "KServe", "ms", 0.1, 1.0, 10.0),
    Row(quote.ONE_ASLEEP, "MLServer", "ms", 0.2, 0.7, 3.5),
    Row(quote.ONE_ASLEEP, "KServe", "ms", 0.2, 1.1, 5.5),
    Row(quote.BATCH, "raw onnxruntime", "requests/s", 5, 10, 0.5),
    Row(quote.GRPC, "MLServer", "", note="not measured: it cannot be installed"),
]


def test_all_that_was_measured_is_quoted():
    said = quote.paragraph([row.encoded() for row in ROWS])

    assert said == (
        "On one core, with one-row JSON requests over 64 connections, it is 30 times as fast as MLServer. "
        "Against a bare uvicorn echo, which computes nothing, it is 2.2 times as fast. "
        "With a single connection the median is 6 to 10 times shorter than theirs, "
        "3.5 to 5.5 times where each answer wakes its client. "
        "Of what raw onnxruntime does in a loop, that is 45 % for one row and 50 % for 64."
    )


def test_nothing_is_quoted_without_a_result():
    assert quote.paragraph([]) == ""
