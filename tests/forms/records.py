"""One complete operative record of each kind, as plain values; tests change what they are about."""

import json
from typing import Any

from app.content import PROFILES

COMMON: dict[str, Any] = {
    "performed": "2024-03-05T09:30:00+00:00",
    "urgency": "emergency",
    "first-operation": True,
    "operative-diagnosis": "As expected",
    "surgeon": "Consultant A",
    "anaesthetist": "Consultant B",
    "gestation": 36,
    "birth-weight": 2450,
    "antenatal-diagnosis": "yes",
    "major-cardiac-anomaly": "no",
    "chromosomal-anomaly": "unknown",
    "other-anomaly": "no",
    "implants": False,
    "complication": False,
    "blood-loss": 5,
    "antibiotics": "antibiotic-prophylaxis",
    "thrombosis-prophylaxis": "thrombosis-not-indicated",
    "closure": "Absorbable sutures in layers",
    "instructions": "Nil by mouth. Contrast study on day 5.",
    "signature": "Consultant A",
}
OWN: dict[str, dict[str, Any]] = {
    "oesophageal-atresia": {
        "procedure": "G07.3",
        "additional-procedure": ["G07.1"],
        "gross-type": "oa-type-c",
        "gap": "gap-short",
        "approach": "approach-thoracoscopic",
        "repair": "repair-primary",
        "anastomosis-tension": "tension-moderate",
        "fistula-closure": "fistula-transfixed",
    },
    "gastroschisis": {
        "procedure": "T28.1",
        "kind": "gastroschisis-simple",
        "matting": "matting-mild",
        "atresia": "atresia-absent",
        "perforation": "perforation-absent",
        "necrosis": "necrosis-absent",
        "intended-closure": "closure-operative",
        "actual-closure": "closure-operative",
        "stoma": False,
    },
    "hirschsprungs-disease": {
        "procedure": "H41.1",
        "stage": "stage-pull-through",
        "aganglionosis": "hd-short-segment",
        "approach": "approach-transanal",
        "technique": "technique-soave",
        "stoma": False,
    },
    "posterior-urethral-valves": {
        "procedure": "M76.5",
        "presentation": "puv-antenatal",
        "valve-treatment": "valve-cold-knife",
        "diversion": "diversion-none",
    },
    "congenital-diaphragmatic-hernia": {
        "procedure": "T16.1",
        "side": "side-left",
        "defect": "cdh-defect-c",
        "liver-up": True,
        "approach": "approach-laparotomy",
        "repair": "diaphragm-synthetic",
        "implants": True,
        "implant-detail": "Patch, serial 1",
        "on-ecmo": False,
    },
    "necrotising-enterocolitis": {
        "procedure": "G69",
        "indication": ["indication-perforation"],
        "extent": "nec-focal",
        "single-perforation": True,
        "bowel-done": ["nec-anastomosis"],
        "relook-planned": False,
    },
}


def questionnaire(condition: str) -> dict[str, Any]:
    return json.loads((PROFILES / "questionnaires" / f"operative-record-{condition}.json").read_bytes())


def values(condition: str) -> dict[str, Any]:
    return COMMON | OWN[condition]
