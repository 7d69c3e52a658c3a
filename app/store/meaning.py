"""What a search means in every store: the few numbers and names that the compilers share."""

from app.fhir.errors import BadRequest
from app.fhir.search.types import Param, Reference, StringValue

INSTANT = 1000  # microseconds: `_lastUpdated` is written to the millisecond
MAX_INCLUDED = 20_000  # resources that one page may include
MAX_ROUNDS = 8  # of _include:iterate
MAX_INSIDE = 4000  # characters that `:contains` looks for (MongoDB looks with a regular expression, which may have 32 kB)

URL, VERSION = Param("url", "uri"), Param("version", "token")  # of what others refer to by canonical URL

LOGICAL = "|"  # stands for the type of a logical reference, whose value is its id and whose system its version

# The types that others refer to by canonical URL.
CANONICAL = frozenset(
    [
        "ActivityDefinition",
        "CapabilityStatement",
        "ChargeItemDefinition",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "EffectEvidenceSynthesis",
        "EventDefinition",
        "Evidence",
        "EvidenceVariable",
        "ExampleScenario",
        "GraphDefinition",
        "ImplementationGuide",
        "Library",
        "Measure",
        "MessageDefinition",
        "NamingSystem",
        "OperationDefinition",
        "PlanDefinition",
        "Questionnaire",
        "ResearchDefinition",
        "ResearchElementDefinition",
        "RiskEvidenceSynthesis",
        "SearchParameter",
        "StructureDefinition",
        "StructureMap",
        "TerminologyCapabilities",
        "TestScript",
        "ValueSet",
    ]
)


def inside(value: StringValue) -> str:
    """What `:contains` looks for. Raises BadRequest where that is too long."""
    if len(value.folded) > MAX_INSIDE:
        raise BadRequest(f"The modifier ':contains' takes at most {MAX_INSIDE} characters.")
    return value.folded


def reference_forms(entry: Reference) -> list[tuple[str, str, str]]:
    """`(id, type, version)`: a reference may be found by its id, its URL and its logical identifier."""
    forms = []
    if entry.id:
        forms.append((entry.id, entry.type, ""))
    if entry.url:
        forms.append((entry.url, "", entry.version))
    if entry.value:
        forms.append((entry.value, LOGICAL, entry.system))
    return forms
