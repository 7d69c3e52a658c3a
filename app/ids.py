"""The one id maker. Ids are random and carry nothing of the person: they land in logs and URLs."""

import hashlib
import os
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
# Drawn in advance: each call of the kernel gives up the interpreter, and may wait 0.2 ms for the writer's thread.
_random: list[bytes] = []
os.register_at_fork(after_in_child=_random.clear)  # a child must not repeat what its parent drew


def new_id() -> str:
    """26 characters, ordered by time of making, 80 random bits: a FHIR id and a cheap index key."""
    try:
        random = _random.pop()
    except IndexError:
        drawn = os.urandom(10 * 256)
        _random.extend(drawn[start : start + 10] for start in range(10, len(drawn), 10))
        random = drawn[:10]
    return _text((int(time.time() * 1000) << 80) | int.from_bytes(random))


def new_secret(prefix: str) -> str:
    """A bearer secret of 192 random bits, with a prefix that leak scanners can recognise."""
    return f"{prefix}_{secrets.token_urlsafe(24)}"


def derived_id(*parts: str) -> str:
    """A FHIR id that is the same for the same parts, so that a retry replaces instead of repeating.

    The parts must be opaque themselves (ids of this server, codes, days of treatment): a hash of an identifier can be guessed back.
    """
    number = int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16])
    return _text(number)


def _text(number: int) -> str:
    """128 bits as 26 characters of five bits, two at a time."""
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
