"""One HES file into the store: stage, group by person, link, make spells, commit a batch of children at a time.

Records: `hes-import` (key: SHA-256 of the file), `hes-row-error` (a refused row with its line), `hes-unlinked` (all rows of a person who
is no known child; `relink` tries them again). An import that is cut off may be run again: ids are derived, so it goes on where it was.
"""

import asyncio
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from app import clock
from app.fhir.errors import Conflict, PreconditionFailed
from app.intake.hes.child import Part, part_of
from app.intake.hes.episodes import Episode, Unfinished, episodes
from app.intake.hes.kept import as_csv, digest_of, refused_row
from app.intake.hes.staging import Staging
from app.intake.hes.tally import Tally
from app.registry.patients import organisation, organisation_reference
from app.security.access import SHARED, SYSTEM
from app.store.protocol import DeleteRecord, Put, PutRecord, Record, Store, Write

BATCH = 150  # episodes a commit: some 500 writes
ATTEMPTS = 5
Progress = Callable[[str, int, int], None]  # what, done, of


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


async def import_file(
    store: Store,
    path: Path,
    *,
    again: bool = False,
    dry_run: bool = False,
    variant: str = "epidm",
    progress: Progress = no_progress,
) -> Tally:
    """Import one CSV file and say what was done. Raises Invalid (columns missing) or Malformed (no CSV): then nothing was imported.

    A file whose bytes were imported before is left alone unless `again`. `dry_run` reads and links, and writes nothing. `variant` is
    how continuous stays are joined (`spells.VARIANTS`).
    """
    digest = digest_of(path)
    if not (again or dry_run) and await store.get_record(SYSTEM, "hes-import", digest):
        return Tally(already=True)
    run = _Run(store, digest, variant, dry_run)
    with Staging() as staging:
        await run.stage(path, staging, progress)
        await run.people(staging.people(), run.tally.episodes, progress)
    if not dry_run:
        body = msgspec.json.encode({"at": clock.micros(), "tally": run.tally})
        await store.commit(SYSTEM, [PutRecord(Record("hes-import", digest, body))])
    return run.tally


async def relink(store: Store, *, variant: str = "epidm") -> Tally:
    """Try again to link the people whose rows were kept because no child was known for them."""
    run = _Run(store, "", variant, dry_run=False)
    after = None
    while records := await store.find_records(SYSTEM, "hes-unlinked", after=after, limit=100):
        after = records[-1].key
        for record in records:
            run.digest = record.key.partition(" ")[0]
            run.header, rows = episodes(io.StringIO((record.raw or b"").decode(), newline=""))
            kept = [row for row in rows if isinstance(row, Episode)]
            run.tally.rows += len(kept)
            run.tally.episodes += len(kept)
            await run.people(iter([(record.tag, kept)]), len(kept), no_progress)
    return run.tally


class _Run:
    """One import under way."""

    def __init__(self, store: Store, digest: str, variant: str, dry_run: bool) -> None:
        self.store, self.digest, self.variant, self.dry_run = store, digest, variant, dry_run
        self.tally = Tally()
        self.header: list[str] = []
        self._hospitals: set[str] = set()

    async def stage(self, path: Path, staging: Staging, progress: Progress) -> None:
        """Read the whole file; keep the refused rows with their place, and the others by person."""
        refused: list[Write] = []
        with path.open("rb") as source:
            size = source.seek(0, io.SEEK_END)
            source.seek(0)
            self.header, rows = episodes(io.TextIOWrapper(source, encoding="utf-8-sig", errors="replace", newline=""))
            for row in rows:
                self.tally.rows += 1
                if self.tally.rows % 1000 == 0:
                    progress("reading", min(size, source.tell()), size)
                    await asyncio.sleep(0)
                if isinstance(row, Episode):
                    self.tally.episodes += 1
                    staging.add(row)
                elif isinstance(row, Unfinished):
                    self.tally.unfinished += 1
                else:
                    self.tally.refuse(row.issue())
                    refused.append(PutRecord(refused_row(self.digest, self.header, row)))
                    if len(refused) == 500:
                        await self._commit(refused)
                        refused = []
        await self._commit(refused)
        progress("reading", size, size)

    async def people(self, people: Iterator[tuple[str, list[Episode]]], total: int, progress: Progress) -> None:
        """Link and commit everybody, a batch at a time."""
        batch: list[tuple[str, list[Episode]]] = []
        waiting = done = 0
        for person, rows in people:
            batch.append((person, rows))
            waiting += len(rows)
            if waiting >= BATCH:
                await self._batch(batch)
                done, waiting, batch = done + waiting, 0, []
                progress("linking", done, total)
        await self._batch(batch)
        progress("linking", total, total)

    async def _batch(self, people: list[tuple[str, list[Episode]]]) -> None:
        """Commit these people; again from the start where somebody else changed one of them meanwhile."""
        for attempt in range(1, ATTEMPTS + 1):
            parts = [await part_of(self.store, person, rows, self.variant) for person, rows in people]
            hospitals = {spell.provider for part in parts for spell in part.spells} - self._hospitals
            writes = [*await self._organisations(hospitals), *self._kept(parts), *_once(parts)]
            try:
                await self._commit(writes)
            except (Conflict, PreconditionFailed):
                if attempt == ATTEMPTS:
                    raise
                continue
            self._hospitals |= hospitals
            for part in parts:
                self.tally.add(part)
            return

    async def _commit(self, writes: Sequence[Write]) -> None:
        if writes and not self.dry_run:
            after = await self.store.feed_head()
            results = await self.store.commit(SYSTEM, writes)
            new = set()
            while changes := await self.store.feed(after, 1000):  # not by the clock, which may jump
                new |= {(change.type, change.id, change.version) for change in changes}
                after = changes[-1].seq
            self.tally.written += sum(
                stored is not None and (stored.type, stored.id, stored.version) in new for stored in results
            )

    async def _organisations(self, hospitals: set[str]) -> list[Write]:
        """Those of the hospitals that the store does not have."""
        present = await self.store.read_many(SYSTEM, [organisation_reference(ods) for ods in sorted(hospitals)])
        known = {stored.id for stored in present}
        return [Put(organisation(ods), owners=frozenset((SHARED,))) for ods in sorted(hospitals) if ods.lower() not in known]

    def _kept(self, parts: Sequence[Part]) -> Iterator[Write]:
        """The rows of people without a link are kept whole; those kept before are let go once there is one."""
        for part in parts:
            key = f"{self.digest} {part.person}"
            if part.link:
                yield DeleteRecord("hes-unlinked", key)
            else:
                raw = as_csv(self.header, *(episode.row for episode in part.rows))
                yield PutRecord(Record("hes-unlinked", key, raw=raw, state=part.reason, tag=part.person))


def _once(parts: Sequence[Part]) -> Iterator[Write]:
    """The writes of all parts, a child's own Patient once: HES may know one child as two people who both died."""
    told: set[str] = set()
    for part in parts:
        for write in part.writes:
            patient = write.resource["id"] if isinstance(write, Put) and write.resource["resourceType"] == "Patient" else None
            if patient not in told:
                yield write
            if patient:
                told.add(patient)
