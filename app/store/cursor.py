"""Paging cursors: opaque, sealed, bound to their query.

A cursor carries the last row's sort values, which may be a child's name, and it travels in URLs: so it is encrypted, not only signed. The cipher
is SHAKE-256 as a keyed stream under a random nonce, then a keyed BLAKE2b over nonce and text (encrypt, then authenticate).
"""

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b, shake_256
from typing import Any

import msgspec

from app.fhir.errors import BadRequest

_NONCE, _SEAL = 12, 12


def seal(key: bytes, about: str, last: list[Any]) -> str:
    """`last` as a cursor for the query `about` (any text that is the same for each page of it)."""
    plain = msgspec.msgpack.encode(last)  # not JSON, which has no infinite number
    nonce = os.urandom(_NONCE)
    text = _stream(key, nonce, plain)
    return urlsafe_b64encode(nonce + _tag(key, about, nonce + text) + text).rstrip(b"=").decode()


def unseal(key: bytes, about: str, cursor: str) -> list[Any]:
    """The reverse. Raises BadRequest for a cursor that this store did not make for this query."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    nonce, tag, text = raw[:_NONCE], raw[_NONCE : _NONCE + _SEAL], raw[_NONCE + _SEAL :]
    if not text or not hmac.compare_digest(tag, _tag(key, about, nonce + text)):
        raise BadRequest("This page link does not belong to this search; start from its first page.")
    last: list[Any] = msgspec.msgpack.decode(_stream(key, nonce, text))
    return last


def _stream(key: bytes, nonce: bytes, text: bytes) -> bytes:
    pad = shake_256(b"cursor" + key + nonce).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, pad, strict=True))


def _tag(key: bytes, about: str, text: bytes) -> bytes:
    bound = blake2b(about.encode(), digest_size=16).digest()
    return blake2b(bound + text, key=key, digest_size=_SEAL, person=b"msgpack").digest()
