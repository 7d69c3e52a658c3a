"""Which operations count, and of which of the four kinds they are: the tables of terminology/, read once.

The classification is a demonstration (terminology/operations-opcs4.json says so and why). What the surgeon recorded always wins;
then the admission method of the spell; a spell of birth or transfer says nothing about urgency, so there the first operation
follows its condition's pathway and a later one is an emergency if its code is of the unplanned sort.
"""

import json
from functools import cache, lru_cache
from typing import Any, cast

from app.content import TERMINOLOGY
from app.outcomes.case_facts import OperationKind

CODES = 4096  # remembered answers: codes come from outside, so there may be any number of them


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((TERMINOLOGY / "operations-opcs4.json").read_bytes())
    table["by_code"] = {row["code"]: row for row in table["operations"]}
    return table


@cache
def _infections() -> dict[str, frozenset[str]]:
    rows = json.loads((TERMINOLOGY / "infections-icd10.json").read_bytes())["infections"]
    return {row["code"]: frozenset(row.get("conditions", ())) for row in rows}


@cache
def _diagnoses() -> dict[str, str]:
    groups = json.loads((TERMINOLOGY / "condition-icd10.json").read_bytes())["group"]
    elements = [element for group in groups for element in group["element"]]
    return {plain_code(target["code"]): element["code"] for element in elements for target in element["target"]}


def condition_of_diagnosis(icd10: str) -> str | None:
    """The condition that an ICD-10 code (or its category of three characters) tells of, or None if it is none of ours."""
    code = plain_code(icd10)
    return _diagnoses().get(code[:4]) or _diagnoses().get(code[:3])


def plain_code(code: str) -> str:
    """An OPCS-4 or ICD-10 code without dot, padding X, dagger or asterisk: `P77X` is `P77`, `q39.1` is `Q391`."""
    plain = code.strip().upper().replace(".", "").rstrip("+*-† ")
    return plain[:3] if len(plain) >= 4 and plain[3] == "X" else plain


@lru_cache(CODES)
def operation(opcs: str) -> dict[str, Any] | None:
    """The row of the table for an OPCS-4 code (four characters, else its category of three), or None if it does not count."""
    code = plain_code(opcs)
    row: dict[str, Any] | None = _table()["by_code"].get(code[:4]) or _table()["by_code"].get(code[:3])
    return row


def counts_for(opcs: str, condition: str) -> bool:
    """Whether an operation with this code belongs to a case of this condition. Unknown codes do not."""
    row = operation(opcs)
    return row is not None and (not row["conditions"] or condition in row["conditions"])


def classify(
    opcs: str,
    *,
    admission_method: str | None,
    is_index: bool,
    urgency: str | None,
    condition: str | None = None,
) -> OperationKind | None:
    """The kind of an operation, or None if it is not one that counts.

    `admission_method` is the national two-character code of the spell, `urgency` what the surgeon recorded (`planned` or `emergency`),
    `is_index` whether it is the first operation for the condition.
    """
    row = operation(opcs)
    if row is None:
        return None
    return cast(OperationKind, f"{row['size']}-{urgency or _urgency(row, admission_method, is_index, condition)}")


def _urgency(row: dict[str, Any], admission_method: str | None, is_index: bool, condition: str | None) -> str:
    table = _table()
    for urgency, methods in table["admission"].items():
        if admission_method in methods:
            return str(urgency)
    if is_index:
        pathway = condition or next(iter([*row.get("also_primary", ()), *row["conditions"]]), "")
        return str(table["pathway"].get(pathway, "planned"))
    return "emergency" if row.get("unplanned") else "planned"


@lru_cache(CODES)
def is_infection(icd10: str, condition: str | None = None) -> bool:
    """Whether a diagnosis is an infection treated in hospital, for a child with this condition."""
    code = plain_code(icd10)
    for length in range(len(code), 2, -1):
        conditions = _infections().get(code[:length])
        if conditions is not None:
            return not conditions or condition in conditions
    return False


def is_emergency_admission(method: str | None) -> bool:
    """Emergency admissions by method; transfers (2B, 81) and births are none."""
    return method in _table()["admission"]["emergency"]
