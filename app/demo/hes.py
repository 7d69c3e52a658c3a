"""What national episode statistics would say: one CSV row a finished consultant episode, the whole nation in one file.

A long first spell is told in two episodes, as a change of consultant makes it. A few rows belong to no child that any hospital notified,
and some carry a number that is no NHS number: the import has to say so.
"""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from app.demo.hl7 import ICD10, visit_number
from app.demo.nation import Child, Nation, Spell

COLUMNS = (
    "EPIKEY PERSON_ID NEWNHSNO DOB SEX PROCODE3 PROVSPNOPS ADMIDATE ADMIMETH ADMISORC EPISTART EPIEND EPIORDER EPISTAT EPITYPE "
    "CLASSPAT DISDATE DISMETH DISDEST MAINSPEF TRETSPEF DIAG_01 DIAG_02 DIAG_03 OPERTN_01 OPDATE_01 OPERTN_02 OPDATE_02"
).split()


def write(nation: Nation, path: Path, seed: int) -> int:
    """Write the file; the number of rows."""
    rng = random.Random(f"{seed}-hes")  # noqa: S311 - a simulation
    rows = [row for child in nation.children for spell in child.spells for row in _episodes(rng, child, spell)]
    rows += list(_strangers(rng, nation, 12))
    rng.shuffle(rows)
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for key, row in enumerate(rows, 1):
            writer.writerow(row | {"EPIKEY": f"{key:012d}"})
    return len(rows)


def _episodes(rng: random.Random, child: Child, spell: Spell) -> Iterator[dict[str, str]]:
    operated = sorted((o.on, o.opcs) for o in child.operations if o.spell == spell.number)
    days = (spell.discharged - spell.admitted).days
    cut = spell.admitted + (spell.discharged - spell.admitted) * 2 // 3 if days > 20 else None
    bounds = [(spell.admitted, cut), (cut, spell.discharged)] if cut else [(spell.admitted, spell.discharged)]
    for order, (start, end) in enumerate(bounds, 1):
        assert start is not None and end is not None
        last = order == len(bounds)
        row = {
            "PERSON_ID": f"P{child.number:08d}",
            "NEWNHSNO": child.nhs_number,
            "DOB": child.born.isoformat(),
            "SEX": "1" if child.sex == "male" else "2",
            "PROCODE3": child.hospital.ods,
            "PROVSPNOPS": visit_number(child, spell),
            "ADMIDATE": spell.admitted.isoformat(),
            "ADMIMETH": spell.method,
            "ADMISORC": "51" if spell.method == "81" else "19",
            "EPISTART": start.isoformat(),
            "EPIEND": end.isoformat(),
            "EPIORDER": f"{order:02d}",
            "EPISTAT": "3",
            "EPITYPE": "1",
            "CLASSPAT": "1",
            "MAINSPEF": "171",
            "TRETSPEF": "171",
            "DIAG_01": ICD10[child.condition],
        }
        if last:
            row |= {"DISDATE": spell.discharged.isoformat(), "DISMETH": "4" if spell.died else "1"}
            row["DISDEST"] = "79" if spell.died else "19"
            if spell.infection:
                row["DIAG_02"] = spell.infection
        inside = [(on, code) for on, code in operated if (start <= on < end) or (last and on >= start)]
        for position, (on, code) in enumerate(inside[:2], 1):
            row[f"OPERTN_{position:02d}"], row[f"OPDATE_{position:02d}"] = code, on.isoformat()
        yield row


def _strangers(rng: random.Random, nation: Nation, count: int) -> Iterator[dict[str, str]]:
    """Episodes of children whom nobody notified; half with a number that fails its check digit."""
    for n in range(count):
        child = nation.children[rng.randrange(len(nation.children))]
        row = next(_episodes(rng, child, child.spells[0]))
        row |= {"PERSON_ID": f"X{n:08d}", "PROVSPNOPS": f"X{n:05d}", "NEWNHSNO": f"99900{n:05d}" if n % 2 else "", "DISMETH": "1"}
        row["DOB"] = nation.start.isoformat()
        yield {key: value for key, value in row.items() if not key.startswith(("OPERTN", "OPDATE"))}
