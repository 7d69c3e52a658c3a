"""Canonical URLs, identifier systems and code systems, each written once.

`CSOR` is a placeholder base (`example.org`): the programme has published none. A site that has one changes it here
and in `profiles/`, where a test holds the two together.
"""

CSOR = "https://csor.example.org"

# Identifier systems
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS_CODE = "https://fhir.nhs.uk/Id/ods-organization-code"
CASE_IDENTIFIER = f"{CSOR}/Id/case"


def mrn_system(ods: str) -> str:
    """The identifier system of one hospital's medical record numbers."""
    return f"{CSOR}/Id/mrn/{ods}"


def visit_system(ods: str) -> str:
    """The identifier system of one hospital's visit (provider spell) numbers."""
    return f"{CSOR}/Id/visit/{ods}"


# Code systems of others
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
OPCS4 = "https://fhir.hl7.org.uk/Id/opcs-4"

# Code systems of the programme (terminology/)
CONDITION = f"{CSOR}/CodeSystem/condition"
OPERATION_KIND = f"{CSOR}/CodeSystem/operation-kind"
CHILD_FACTOR = f"{CSOR}/CodeSystem/child-factor"
OUTCOME = f"{CSOR}/CodeSystem/outcome"
SOURCE = f"{CSOR}/CodeSystem/source"  # meta.tag: where a resource came from

CONDITIONS = (
    "oesophageal-atresia",
    "gastroschisis",
    "hirschsprungs-disease",
    "posterior-urethral-valves",
    "congenital-diaphragmatic-hernia",
    "necrotising-enterocolitis",
)
OPERATION_KINDS = ("major-planned", "minor-planned", "major-emergency", "minor-emergency")
SOURCES = ("operative-record", "hl7v2", "hes", "fhir", "parent")


def canonical(kind: str, name: str) -> str:
    """`canonical("Measure", "treatment-success")` is the URL of that artefact."""
    return f"{CSOR}/{kind}/{name}"
