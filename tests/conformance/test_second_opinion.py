"""fhir.resources judges the official examples too: where it says otherwise, why it is wrong.

Its R4B models stand in for R4, of which no published Python package has models. Examples over 300 kB are left out for time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.fhir.files import read_resources
from app.fhir.validation import validate

pytestmark = [pytest.mark.conformance, pytest.mark.slow]

# Resource types that R4 has and R4B does not, or has in another shape.
NOT_IN_R4B = {
    "EffectEvidenceSynthesis",
    "Evidence",
    "MedicinalProduct",
    "MedicinalProductAuthorization",
    "MedicinalProductContraindication",
    "MedicinalProductIndication",
    "MedicinalProductIngredient",
    "MedicinalProductInteraction",
    "MedicinalProductManufactured",
    "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect",
    "RiskEvidenceSynthesis",
    "SubstanceSpecification",
}
# It lets an id of 86 characters pass; R4 ends at 64.
TOO_LONG_FOR_US = {"SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json"}


def judged(directory: Path) -> tuple[int, int, dict[str, Any], set[str]]:
    """How many examples there are up to 300 kB, how many both judge alike, those that only it refuses though it has a model of them, and the names of those that only we refuse."""
    from fhir.resources import R4B

    stricter, laxer, count, agreed = {}, set(), 0, 0
    for item in read_resources([directory]):
        if len(item.raw) > 300_000:
            continue
        count += 1
        resource = item.decode()
        kind = resource["resourceType"]
        try:
            R4B.get_fhir_model_class(kind).model_validate_json(item.raw)
            theirs = True
        except (ValueError, KeyError):
            theirs = False
        ours = not validate(resource)
        agreed += ours is theirs
        if ours and not theirs and kind not in NOT_IN_R4B:
            stricter[item.path.name] = resource
        elif theirs and not ours:
            laxer.add(item.path.name)
    return count, agreed, stricter, laxer


def test_where_fhir_resources_says_otherwise(csor_data: Callable[[str], Path]) -> None:
    pytest.importorskip("fhir.resources.R4B", reason="fhir.resources is not installed")
    _, agreed, stricter, laxer = judged(csor_data("hl7.fhir.r4.examples-4.0.1"))
    assert agreed == 5196
    assert laxer == TOO_LONG_FOR_US
    # It knows no `_valueString` on the extensions of a concept: JSON's way to write an extension of the value itself.
    assert len(stricter) == 47
    assert all(each["resourceType"] == "CodeSystem" and "_valueString" in str(each) for each in stricter.values())
