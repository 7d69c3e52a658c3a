"""How children with each condition fare in the simulation.

Shares, severities, anomalies and deaths are near the national cohorts (BAPS-CASS and others; see `docs/explanation/simulation.md`);
rates of later operations and infections are guesses of the simulation, chosen so that about three in four children do well.
"""

from dataclasses import dataclass

from app.outcomes.case_facts import OperationKind

# Cases a year in the cohorts, scaled to shares: gastroschisis 262, OA 151, CDH 146, HD 152, NEC 236, PUV 113.
CONDITION_SHARE = {
    "gastroschisis": 0.247,
    "oesophageal-atresia": 0.142,
    "congenital-diaphragmatic-hernia": 0.138,
    "hirschsprungs-disease": 0.143,
    "necrotising-enterocolitis": 0.223,
    "posterior-urethral-valves": 0.107,
}


@dataclass(frozen=True, slots=True)
class Severity:
    """A class of the condition: its code in the child-factor code system, its grade, its share."""

    code: str
    grade: int
    share: float


@dataclass(frozen=True, slots=True)
class Pathway:
    severities: tuple[Severity, ...]
    gestation: float
    gestation_sd: float
    male: float
    cardiac: float
    chromosomal: float
    other_anomaly: float
    antenatal: float
    operated_on_day: tuple[int, int]
    index_kind: OperationKind
    index_opcs: tuple[str, ...]
    stay_days: int
    death_logit: float
    mean_risk: float
    first_infection: float
    early_reoperation: float
    late_major: float
    late_minor: float
    late_infection: float
    planned_major: float
    planned_minor: float
    planned_major_opcs: tuple[str, ...]
    planned_minor_opcs: tuple[str, ...]
    emergency_major: tuple[str, ...]
    emergency_minor: tuple[str, ...]
    quality_cuts: tuple[float, float, float] = (0.25, 0.85, 1.75)


PATHWAYS = {
    "oesophageal-atresia": Pathway(
        severities=(
            Severity("oa-type-c", 0, 0.74),
            Severity("oa-type-e", 0, 0.05),
            Severity("oa-type-d", 1, 0.03),
            Severity("oa-long-gap", 2, 0.18),
        ),
        gestation=36.8, gestation_sd=2.8, male=0.56, cardiac=0.15, chromosomal=0.06, other_anomaly=0.3, antenatal=0.25,
        operated_on_day=(1, 3), index_kind="major-emergency", index_opcs=("G073", "G071"), stay_days=24,
        death_logit=-3.1, mean_risk=0.6, first_infection=0.16, early_reoperation=0.05, late_major=0.06, late_minor=0.22,
        late_infection=0.22, planned_major=0.06, planned_minor=0.35, planned_major_opcs=("G241",), planned_minor_opcs=("G152", "G182"),
        emergency_major=("G072", "T303"), emergency_minor=("G153", "G183"),
    ),
    "gastroschisis": Pathway(
        severities=(Severity("gastroschisis-simple", 0, 0.88), Severity("gastroschisis-complex", 2, 0.12)),
        gestation=36.3, gestation_sd=1.8, male=0.52, cardiac=0.03, chromosomal=0.01, other_anomaly=0.1, antenatal=0.97,
        operated_on_day=(0, 4), index_kind="major-emergency", index_opcs=("T281",), stay_days=34,
        death_logit=-4.3, mean_risk=0.35, first_infection=0.28, early_reoperation=0.08, late_major=0.09, late_minor=0.05,
        late_infection=0.18, planned_major=0.08, planned_minor=0.05, planned_major_opcs=("G753",), planned_minor_opcs=("H444",),
        emergency_major=("T303", "T413", "G693"), emergency_minor=("T283",),
    ),
    "congenital-diaphragmatic-hernia": Pathway(
        severities=(
            Severity("cdh-defect-a", 0, 0.18),
            Severity("cdh-defect-b", 0, 0.42),
            Severity("cdh-defect-c", 1, 0.28),
            Severity("cdh-defect-d", 2, 0.12),
        ),
        gestation=38.0, gestation_sd=2.0, male=0.58, cardiac=0.09, chromosomal=0.04, other_anomaly=0.15, antenatal=0.65,
        operated_on_day=(2, 7), index_kind="major-planned", index_opcs=("T164", "T161"), stay_days=28,
        death_logit=-3.3, mean_risk=0.65, first_infection=0.18, early_reoperation=0.04, late_major=0.08, late_minor=0.06,
        late_infection=0.2, planned_major=0.03, planned_minor=0.06, planned_major_opcs=("G241",), planned_minor_opcs=("G341",),
        emergency_major=("T165", "T413"), emergency_minor=("T124",),
    ),
    "hirschsprungs-disease": Pathway(
        severities=(
            Severity("hd-short-segment", 0, 0.78),
            Severity("hd-long-segment", 1, 0.15),
            Severity("hd-total-colonic", 2, 0.07),
        ),
        gestation=38.9, gestation_sd=1.6, male=0.77, cardiac=0.05, chromosomal=0.1, other_anomaly=0.12, antenatal=0.02,
        operated_on_day=(20, 110), index_kind="major-planned", index_opcs=("H411", "H414", "H332"), stay_days=9,
        death_logit=-4.4, mean_risk=0.45, first_infection=0.05, early_reoperation=0.03, late_major=0.09, late_minor=0.12,
        late_infection=0.3, planned_major=0.1, planned_minor=0.25, planned_major_opcs=("H154",), planned_minor_opcs=("H444",),
        emergency_major=("G742", "H151"), emergency_minor=("H444",),
    ),
    "necrotising-enterocolitis": Pathway(
        severities=(Severity("nec-focal", 0, 0.5), Severity("nec-multifocal", 1, 0.38), Severity("nec-pan-intestinal", 2, 0.12)),
        gestation=28.0, gestation_sd=3.0, male=0.57, cardiac=0.08, chromosomal=0.03, other_anomaly=0.1, antenatal=0.02,
        operated_on_day=(10, 45), index_kind="major-emergency", index_opcs=("G693", "G694", "G742"), stay_days=60,
        death_logit=-1.5, mean_risk=1.6, first_infection=0.28, early_reoperation=0.1, late_major=0.06, late_minor=0.05,
        late_infection=0.2, planned_major=0.55, planned_minor=0.04, planned_major_opcs=("G753",), planned_minor_opcs=("H444",),
        emergency_major=("T303", "G693"), emergency_minor=("T343",), quality_cuts=(0.35, 0.95, 1.9),
    ),
    "posterior-urethral-valves": Pathway(
        severities=(Severity("puv-late", 0, 0.23), Severity("puv-infancy", 1, 0.42), Severity("puv-antenatal", 2, 0.35)),
        gestation=38.3, gestation_sd=2.0, male=1.0, cardiac=0.02, chromosomal=0.01, other_anomaly=0.08, antenatal=0.35,
        operated_on_day=(3, 60), index_kind="minor-planned", index_opcs=("M765",), stay_days=7,
        death_logit=-5.2, mean_risk=0.95, first_infection=0.1, early_reoperation=0.02, late_major=0.05, late_minor=0.14,
        late_infection=0.4, planned_major=0.06, planned_minor=0.3, planned_major_opcs=("M194",), planned_minor_opcs=("N303", "M763"),
        emergency_major=("M194",), emergency_minor=("M382", "M136"),
    ),
}  # fmt: skip
