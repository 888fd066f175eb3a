"""Receipts of predictions: what was answered, by which version, when, in a form nobody can invent.

    v1.<key>.<payload>.<mac>          mac = HMAC-SHA256(key, "v1.<key>.<payload>")

`payload` is a `Receipt` as JSON; payload and mac are base64 with the URL's alphabet, unpadded.
`<key>` names the key without telling it, so that receipts of an older key are verified after a
rotation.  Who brings a label for a prediction brings its receipt, and no prediction has to be stored
until then.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from json.encoder import encode_basestring as _quoted

from modelyard_core import codec
from modelyard_core.errors import Rejected, ShapeError

SCHEME = "v1"
PARTS = 4
KEY_NAME_DIGITS = 8
LEAST_KEY_BYTES = 16
ID_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Receipt:
    """One answered request."""

    model: str
    version: str
    digest: str
    """Of the version's bundle."""
    at: datetime
    id: str
    """The request's; its digest where it is over `ID_LENGTH` or not printable; empty if it has none."""
    rows: int
    scores: tuple[float | None, ...]
    """Of the first rows, as in `answers`."""
    content: str
    """SHA-256 of the answer, in hexadecimal: over HTTP of the body as it was before packing, over
    gRPC of the outputs' elements in raw form, one output after the other."""
    classes: tuple[int, ...] | None = None


class BadReceipt(Rejected):
    """A receipt that none of the keys has signed, or that belongs to another answer."""

    def __init__(self, sentence: str) -> None:
        super().__init__("BadReceipt", sentence)


def key_name(key: bytes) -> str:
    """Return what a receipt calls a key.

    >>> key_name(b"0123456789abcdef")
    'b95d2a53'
    """
    return hmac.digest(key, b"modelyard receipt key", "sha256").hex()[:KEY_NAME_DIGITS]


class Signer:
    """Signs receipts of one version with one key: what is the same in all of them is made once.

    Callable from any thread.
    """

    def __init__(self, key: bytes, model: str, version: str, digest: str) -> None:
        self.key = key
        self.version_of = model, version, digest
        self._mac = hmac.new(key, digestmod="sha256")
        self._begin = f"{SCHEME}.{key_name(key)}.".encode()
        self._digest, self._model, self._version = map(_quoted, (digest, model, version))

    def sign(
        self,
        at: str,
        request_id: str,
        rows: int,
        scores: Sequence[float | None],
        classes: Sequence[int] | None,
        content: bytes,
    ) -> bytes:
        """Return the receipt of one answer as text; `at` is a moment as `codec.format_time` writes it.

        `scores` are finite; `content` is what the digest of the answer is made of.
        """
        won = "" if classes is None else f'"classes":[{",".join(map(str, classes))}],'
        numbers = ",".join(["null" if score is None else repr(score) for score in scores])
        payload = (  # canonical JSON
            f'{{"at":"{at}",{won}"content":"{digest_of(content)}","digest":{self._digest},'
            f'"id":{_quoted(request_id)},"model":{self._model},"rows":{rows},'
            f'"scores":[{numbers}],"version":{self._version}}}'
        )
        signed = self._begin + _to_bytes(payload.encode())
        mac = self._mac.copy()
        mac.update(signed)
        return signed + b"." + _to_bytes(mac.digest())


def verify(text: str, keys: Iterable[bytes], content: bytes | None = None) -> Receipt:
    """Return what a receipt says.

    Raises:
        BadReceipt: no key of these has signed it, or it does not belong to the content.
    """
    scheme, name, payload, mac = _parts(text)
    signed = f"{scheme}.{name}.{payload}"
    known = [key for key in keys if key_name(key) == name]
    if not known:
        raise BadReceipt(f"the receipt is signed with the key {name!r}, which is not known here")
    if not any(hmac.compare_digest(_mac(key, signed), mac) for key in known):
        raise BadReceipt("the receipt's signature is wrong")
    try:
        receipt = codec.loads(Receipt, _from_text(payload))
    except ShapeError as error:
        raise BadReceipt(f"the receipt cannot be read: {error}") from error
    if content is not None and digest_of(content) != receipt.content:
        raise BadReceipt("the receipt belongs to another answer")
    return receipt


def digest_of(content: bytes) -> str:
    """Return what a receipt calls an answer."""
    return hashlib.sha256(content).hexdigest()


def _parts(text: str) -> tuple[str, str, str, str]:
    parts = text.split(".")
    if len(parts) != PARTS or parts[0] != SCHEME or not text.isascii():
        raise BadReceipt(f"no receipt of the form {SCHEME}.<key>.<payload>.<mac>")
    return parts[0], parts[1], parts[2], parts[3]


def _mac(key: bytes, signed: str) -> str:
    return _to_bytes(hmac.digest(key, signed.encode(), "sha256")).decode()


def _to_bytes(data: bytes) -> bytes:
    # What the URL's alphabet has others for is rare in JSON, and not to find it costs next to nothing.
    plain = binascii.b2a_base64(data, newline=False).rstrip(b"=")
    return plain.replace(b"+", b"-").replace(b"/", b"_")


def _from_text(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadReceipt(f"the receipt cannot be read: {error}") from error
