"""Rows grouped by person without holding the file in memory: a row goes to one of 64 temporary files by its person.

A HES file is in no order, and spells need all rows of a person together. One bucket at a time is read back, so memory is bounded by a
64th of the file.
"""

import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from app.intake.hes.episodes import Episode
from app.registry.patients import normal_nhs_number

BUCKETS = 64
IN_MEMORY = 64 << 10  # bytes of a bucket before it goes to disk

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Episode)


def person_of(episode: Episode) -> str:
    """Whom a row is about: the person's key, else a valid NHS number, else the row alone (which can link to nobody)."""
    number = normal_nhs_number(episode.nhs_number)
    return episode.person or (f"nhs {number}" if number else f"row {episode.key}")


class Staging:
    """Add episodes, then read them back by person. A context manager; the temporary files go with it."""

    def __init__(self) -> None:
        self._files = [tempfile.SpooledTemporaryFile(IN_MEMORY) for _ in range(BUCKETS)]  # noqa: SIM115 - closed in __exit__

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, episode: Episode) -> None:
        """Keep one episode."""
        file = self._files[zlib.crc32(person_of(episode).encode()) % BUCKETS]
        file.write(_encoder.encode(episode) + b"\n")

    def people(self) -> Iterator[tuple[str, list[Episode]]]:
        """Each person with all their episodes."""
        for file in self._files:
            file.seek(0)
            found: dict[str, list[Episode]] = defaultdict(list)
            for line in file:
                episode = _decoder.decode(line)
                found[person_of(episode)].append(episode)
            yield from sorted(found.items())
