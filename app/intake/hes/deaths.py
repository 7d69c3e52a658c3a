"""The register of deaths (ONS), linked to HES: who died, on which day, and whose word on the day counts.

The rules are those of the published linkage: the register's day if it is 0 to 3 days before the hospital's, the hospital's if the
register's is 1 to 3 days after it or they are more than 3 days apart, and the only one where only one tells. Record kind
`registered-death`, key the Patient's id: which rule held, the registered day and the cause.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.fhir.errors import Conflict, Invalid, PreconditionFailed
from app.intake.hes.episodes import Header, WrongRow, columns, day, table
from app.intake.hes.kept import as_csv, digest_of, refused_row
from app.intake.hes.linkage import Link, link
from app.registry.encounters import day_of
from app.registry.patients import normal_nhs_number
from app.security.access import SYSTEM
from app.store.protocol import Put, PutRecord, Record, Store, Write

KIND = "registered-death"
NEAR = 3  # days
SHOWN = 20  # refused rows that are told one by one
ATTEMPTS = 5


class Death(NamedTuple):
    """One registered death."""

    line: int
    person: str
    nhs_number: str
    born: str
    died: str
    cause: str


class DeathTally(msgspec.Struct):
    """`rows` = sum of `rules` (by rule, told now or before) + sum of `not_linked` + `wrong`."""

    rows: int = 0
    wrong: int = 0
    rules: dict[str, int] = msgspec.field(default_factory=Counter)
    not_linked: dict[str, int] = msgspec.field(default_factory=Counter)
    written: int = 0
    problems: list[str] = msgspec.field(default_factory=list)


def settle(hospital: str | None, register: str) -> tuple[str, str]:
    """The rule that holds (ONS2, ONS1, MIX1 or HES2) and the day of death, from the hospital's day and the register's."""
    if hospital is None:
        return "ONS2", register
    before = (date.fromisoformat(hospital) - date.fromisoformat(register)).days
    if 0 <= before <= NEAR:
        return "ONS1", register
    return ("MIX1" if -NEAR <= before < 0 else "HES2"), hospital


async def import_deaths(store: Store, path: Path) -> DeathTally:
    """Tell the linked children's Patients of their registered deaths. Raises Invalid or Malformed for a file that is none.

    Rows of no known child are kept (`registered-death-unlinked`), wrong rows too (`hes-row-error`); importing again changes nothing.
    """
    tally, digest = DeathTally(), digest_of(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        names, rows = table(file)
        for number, found in enumerate(_read(names, rows)):
            tally.rows += 1
            if number % 200 == 0:
                await asyncio.sleep(0)
            if isinstance(found, WrongRow):
                tally.wrong += 1
                if len(tally.problems) < SHOWN:
                    tally.problems.append(str(found.issue()))
                await store.commit(SYSTEM, [PutRecord(refused_row(digest, names, found))])
            else:
                await _tell(store, found, tally)
    return tally


def _read(names: list[str], rows: Iterator[tuple[int, tuple[str, ...]]]) -> Iterator[Death | WrongRow]:
    known = columns()["deaths"]
    header = Header(names, known["required"], known["optional"])
    if not {"PERSON_ID", "NEWNHSNO"} & header.at.keys():
        raise Invalid("A register of deaths needs the column PERSON_ID or NEWNHSNO.", line=1)
    for line, row in rows:
        if len(row) != len(header.names):
            yield WrongRow(line, None, f"The row has {len(row)} cells, the header {len(header.names)}.", row)
            continue
        cell = {name: row[position].strip() for name, position in header.at.items()}
        dates = {}
        for name in ("DOD", "DOB"):
            try:
                dates[name] = day(cell.get(name, ""))
            except ValueError:
                yield WrongRow(line, header.at[name] + 1, f"{name} is not a date.", row)
                break
        else:
            if not dates["DOD"]:
                yield WrongRow(line, header.at["DOD"] + 1, "DOD is empty.", row)
                continue
            yield Death(
                line, cell.get("PERSON_ID", ""), cell.get("NEWNHSNO", ""), dates["DOB"], dates["DOD"], cell.get("CAUSE", "")
            )


async def _tell(store: Store, death: Death, tally: DeathTally) -> None:
    number = normal_nhs_number(death.nhs_number)
    person = death.person or (f"nhs {number}" if number else f"death {death.line}")
    for attempt in range(1, ATTEMPTS + 1):
        linked = await link(store, person, {death.nhs_number} - {""}, {death.born} - {""})
        if isinstance(linked, str):
            tally.not_linked[linked] = tally.not_linked.get(linked, 0) + 1
            await store.commit(SYSTEM, [PutRecord(_unlinked(person, death, linked))])
            return
        try:
            rule, wrote = await _settled(store, linked, death)
        except (Conflict, PreconditionFailed):
            if attempt == ATTEMPTS:
                raise
            continue
        tally.rules[rule] = tally.rules.get(rule, 0) + 1
        tally.written += wrote
        return


async def _settled(store: Store, linked: Link, death: Death) -> tuple[str, bool]:
    """Settle the day and commit; the rule, and whether anything changed."""
    child = linked.child.resource
    before = await store.get_record(SYSTEM, KIND, linked.child.id)
    if before is not None and before.data["registered"] == death.died:
        return str(before.data["rule"]), False
    told = str(child.get("deceasedDateTime", ""))
    hospital = day_of(told) if len(told) >= 10 else None  # a year or month gives way to a day
    rule, died = settle(hospital, death.died)
    body = {"rule": rule, "registered": death.died, "cause": death.cause}
    writes: list[Write] = [PutRecord(Record(KIND, linked.child.id, msgspec.json.encode(body), tag=rule))]
    if linked.record:
        writes.append(linked.record)
    if died != hospital:
        known = {key: value for key, value in child.items() if key != "deceasedBoolean"}
        writes.append(Put({**known, "deceasedDateTime": died}, linked.child.version, linked.child.owners))
    await store.commit(SYSTEM, writes)
    return rule, True


def _unlinked(person: str, death: Death, reason: str) -> Record:
    raw = as_csv(Death._fields, [str(value) for value in death])
    return Record("registered-death-unlinked", person, raw=raw, state=reason)
