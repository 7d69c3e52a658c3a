"""Measures of outcome, evaluated over cases and compared with what was expected.

What must stay true: a hospital is compared with what was expected for its own children, with exact tails; small numbers stay with the hospital;
nothing ranks; every figure names its measure, model, weights and rules, with versions.

    evaluate(store, access, "treatment-success", "2022", "2024", reporter="RXX")   ->  a MeasureReport
    hospital_table(store, access, "treatment-success", period("2022", "2024"))      ->  rows for pages and files
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir.operations import Operation
from app.security.access import Access
from app.store.protocol import Guard, Hook, Store, Write


def hooks(store: Store) -> Mapping[str, Hook]:
    """What joins the commit of a resource, by its type."""
    from app.measures.definition import refuse_namesake

    async def on_measure(_: Access, resource: dict[str, Any], beside: Mapping[str, dict[str, Any]]) -> Sequence[Write | Guard]:
        refuse_namesake(resource)
        return ()

    return {"Measure": on_measure}


def operations(store: Store) -> list[Operation]:
    """`$evaluate-measure`."""
    from app.measures import operation

    return operation.operations(store)


def services(store: Store) -> list[Any]:
    """What runs beside the requests."""
    from app.measures.service import ColumnsService

    return [ColumnsService(store)]
