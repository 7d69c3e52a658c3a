"""The one id maker. Ids are random and carry nothing of the person: they land in logs and URLs."""

import os
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """26 characters, ordered by time of making, 80 random bits: a FHIR id and a cheap index key."""
    number = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10))
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_secret(prefix: str) -> str:
    """A bearer secret of 192 random bits, with a prefix that leak scanners can recognise."""
    return f"{prefix}_{secrets.token_urlsafe(24)}"
