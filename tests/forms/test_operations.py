"""$populate and $extract: what they answer, and what they do not show."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app import names
from app.fhir.errors import BadRequest, FHIRError, Invalid, NotFound
from app.fhir.operations import Operation, OperationRequest
from app.fhir.validation import validate
from app.forms import operations
from app.forms.entry import respond
from app.forms.items import answers
from app.security.access import SYSTEM, Access
from app.store.protocol import Put, Store
from tests.forms.records import questionnaire, values
from tests.forms.test_extraction import BASE
from tests.forms.test_populate import PATIENT, prefilled
from tests.forms.test_validation import asked
from tests.support import open_test_store

RA1, RB2 = Access("a", "hospital", frozenset({"RA1"})), Access("b", "hospital", frozenset({"RB2"}))
CANONICAL = names.canonical("Questionnaire", "operative-record-gastroschisis")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_test_store(tmp_path)
    await opened.commit(RA1, [Put(PATIENT)])
    yield opened
    await opened.close()


@pytest.fixture
def by_name(store: Store) -> dict[str, Operation]:
    return {operation.name: operation for operation in operations(store)}


async def call(
    operation: Operation, access: Access, *parameters: dict[str, Any], level: Any = "type", id: str | None = None
) -> dict[str, Any]:
    body = operation.checked({"resourceType": "Parameters", **({"parameter": list(parameters)} if parameters else {})})
    result = await operation.handler(access, OperationRequest(level, operation.types[0], id, "POST", parameters=body))
    assert isinstance(result, dict)
    return {part["name"]: part["resource"] for part in result["parameter"]}


SUBJECT = {"name": "subject", "valueReference": {"reference": "Patient/p"}}


def test_their_definitions_are_valid(by_name: dict[str, Operation]) -> None:
    assert set(by_name) == {"populate", "extract"}
    for operation in by_name.values():
        assert validate(operation.definition) == []
        assert not operation.affects_state


async def test_populate_by_canonical_by_resource_and_by_id(store: Store, by_name: dict[str, Operation]) -> None:
    form = asked(prefilled("date", "%patient.birthDate"), id="mine", url="urn:mine", version="1")
    await store.commit(SYSTEM, [Put(form, owners=frozenset({"*"}))])
    for parameters, id_ in (
        ([{"name": "canonical", "valueUri": "urn:mine|1"}], None),
        ([{"name": "questionnaire", "resource": form}], None),
        ([], "mine"),
    ):
        found = await call(by_name["populate"], RA1, SUBJECT, *parameters, id=id_, level="instance" if id_ else "type")
        assert answers(found["response"], "q") == ["2024-03-04"]
    with pytest.raises(NotFound):
        await call(by_name["populate"], RA1, SUBJECT, {"name": "canonical", "valueUri": "urn:mine|2"})
    with pytest.raises(BadRequest):
        await call(by_name["populate"], RA1, SUBJECT)


async def test_populate_finds_the_shipped_records_and_takes_contexts(by_name: dict[str, Operation]) -> None:
    user = {"resourceType": "Practitioner", "name": [{"text": "Consultant A"}]}
    context = {"name": "context", "part": [{"name": "name", "valueString": "user"}, {"name": "content", "resource": user}]}
    found = await call(by_name["populate"], RA1, SUBJECT, context, {"name": "canonical", "valueUri": CANONICAL})
    assert answers(found["response"], "surgeon") == ["Consultant A"]
    assert found["response"]["subject"] == {"reference": "Patient/p"}
    assert found["issues"]["resourceType"] == "OperationOutcome", "no case was handed over, and that is told"


async def test_nothing_of_another_hospital_shows_in_a_form(by_name: dict[str, Operation]) -> None:
    with pytest.raises(NotFound):
        await call(by_name["populate"], RB2, SUBJECT, {"name": "canonical", "valueUri": CANONICAL})


async def test_a_scope_that_does_not_read_children_does_not_read_them_through_a_form(by_name: dict[str, Operation]) -> None:
    narrow = Access("a", "hospital", frozenset({"RA1"}), frozenset({"system/Questionnaire.r"}))
    with pytest.raises(FHIRError):
        await call(by_name["populate"], narrow, SUBJECT, {"name": "canonical", "valueUri": CANONICAL})


async def test_extract_answers_a_transaction_and_stores_nothing(store: Store, by_name: dict[str, Operation]) -> None:
    response = respond(questionnaire("gastroschisis"), values("gastroschisis"), **BASE)
    head = await store.feed_head()
    found = await call(by_name["extract"], RA1, {"name": "questionnaire-response", "resource": response})
    assert (found["return"]["type"], len(found["return"]["entry"])) == ("transaction", 9)
    assert await store.feed_head() == head


async def test_extract_of_what_is_stored(store: Store, by_name: dict[str, Operation]) -> None:
    response = respond(questionnaire("gastroschisis"), values("gastroschisis"), **BASE)
    await store.commit(RA1, [Put(response)])
    assert (await call(by_name["extract"], RA1, level="instance", id="r1"))["return"]["entry"]
    with pytest.raises(NotFound):
        await call(by_name["extract"], RB2, level="instance", id="r1")


async def test_extract_refuses_what_does_not_answer_the_questionnaire(by_name: dict[str, Operation]) -> None:
    response = respond(questionnaire("gastroschisis"), values("gastroschisis") | {"kind": None}, **BASE)
    with pytest.raises(Invalid, match="Simple or complex"):
        await call(by_name["extract"], RA1, {"name": "questionnaire-response", "resource": response})
    with pytest.raises(BadRequest):
        await call(by_name["extract"], RA1)
