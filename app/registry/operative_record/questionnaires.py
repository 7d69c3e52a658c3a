"""The questionnaires of the operative records, by condition. They are data: profiles/questionnaires/operative-record-*.json."""

from functools import cache
from typing import Any

from app import names
from app.content import PROFILES
from app.fhir import codec
from app.fhir.errors import NotFound

_URL = names.canonical("Questionnaire", "operative-record-")


@cache
def questionnaire(condition: str) -> dict[str, Any]:
    """The questionnaire for a condition of `app.names.CONDITIONS`; not to be changed. Raises NotFound."""
    if condition not in names.CONDITIONS:
        raise NotFound(f"There is no operative record for '{condition[:60]}'.")
    return codec.decode((PROFILES / "questionnaires" / f"operative-record-{condition}.json").read_bytes())


def condition_of(response: dict[str, Any]) -> str | None:
    """The condition whose operative record this response is, or None for a response to anything else."""
    url = str(response.get("questionnaire", "")).partition("|")[0]
    condition = url.removeprefix(_URL)
    return condition if url.startswith(_URL) and condition in names.CONDITIONS else None


def condition_name(condition: str) -> str:
    """As people write it, with a capital: `Hirschsprung’s disease`."""
    title: str = questionnaire(condition)["title"]
    name = title.removeprefix("Operative record: ")
    return name[0].upper() + name[1:]
