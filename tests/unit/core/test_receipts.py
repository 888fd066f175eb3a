"""A receipt says what was signed, or nothing at all."""

import base64
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_core import codec, receipts
from modelyard_core.receipts import BadReceipt, Receipt, Signer
from support import plain_receipts

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
ANSWER = b'{"outputs": []}'
RECEIPT = Receipt(
    model="rain",
    version="7",
    digest="sha256:" + "a" * 64,
    at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    id="r-1",
    rows=3,
    scores=(0.25, None, 0.5),
    content=receipts.digest_of(ANSWER),
    classes=(0, 2, 1),
)
SIGNED = plain_receipts.sign(RECEIPT, KEY)


def test_what_was_signed_is_read():
    assert receipts.verify(SIGNED, [KEY], ANSWER) == RECEIPT


def test_a_receipt_of_an_older_key_is_read_while_that_key_is_known():
    assert receipts.verify(SIGNED, [OTHER_KEY, KEY]) == RECEIPT
    with pytest.raises(BadReceipt, match="not known here"):
        receipts.verify(SIGNED, [OTHER_KEY])


def test_a_receipt_does_not_fit_another_answer():
    with pytest.raises(BadReceipt, match="another answer"):
        receipts.verify(SIGNED, [KEY], ANSWER + b" ")


@given(st.integers(0, len(SIGNED) - 1), st.sampled_from("AQgw09-_.="))
def test_no_character_can_be_changed(place, character):
    forged = SIGNED[:place] + character + SIGNED[place + 1 :]
    if forged == SIGNED:
        return

    with pytest.raises(BadReceipt):
        receipts.verify(forged, [KEY])


@given(st.text())
def test_no_text_makes_the_reader_stumble(text):
    with pytest.raises(BadReceipt):
        receipts.verify(text, [KEY])


def test_a_payload_of_another_shape_is_refused():
    payload = "e30"  # {}
    signed = f"v1.{receipts.key_name(KEY)}.{payload}"
    mac = base64.urlsafe_b64encode(hmac.digest(KEY, signed.encode(), "sha256"))

    with pytest.raises(BadReceipt, match="cannot be read"):
        receipts.verify(f"{signed}.{mac.decode().rstrip('=')}", [KEY])


SCORE = st.none() | st.floats(allow_nan=False, allow_infinity=False)
PRINTABLE = st.text(max_size=40).filter(str.isprintable)


@given(
    who=st.tuples(PRINTABLE, PRINTABLE, PRINTABLE),
    request_id=PRINTABLE,
    at=st.datetimes(timezones=st.just(UTC)),
    scores=st.lists(SCORE, max_size=4),
    classes=st.none() | st.lists(st.integers(0, 1000), max_size=4),
    content=st.binary(max_size=200),
)
def test_a_signer_of_many_writes_what_is_written_for_one(
    who, request_id, at, scores, classes, content
):
    signer = Signer(KEY, *who)
    receipt = Receipt(
        *who,
        at=at,
        id=request_id,
        rows=len(scores),
        scores=tuple(scores),
        content=receipts.digest_of(content),
        classes=None if classes is None else tuple(classes),
    )

    time = codec.format_time(at)
    for _ in range(2):
        text = signer.sign(time, request_id, len(scores), scores, classes, content).decode()
        assert text == plain_receipts.sign(receipt, KEY)
