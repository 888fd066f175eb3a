"""Receipts as their definition says, part by part: what signs many is compared with it."""

import base64
import hmac

from modelyard_core import codec, receipts
from modelyard_core.canonical import canonical_json
from modelyard_core.receipts import Receipt


def sign(receipt: Receipt, key: bytes) -> str:
    """Return a receipt as text."""
    payload = unpadded(canonical_json(codec.encode(receipt)))
    signed = f"{receipts.SCHEME}.{receipts.key_name(key)}.{payload}"
    return f"{signed}.{unpadded(hmac.digest(key, signed.encode(), 'sha256'))}"


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
