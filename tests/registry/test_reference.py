"""The pages that tell the rules say what the code does."""

from pathlib import Path

from app.outcomes.case_facts import HORIZON_DAYS
from app.registry.facts import QUALITY_OF_LIFE, READMISSION_DAYS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "case-facts.md").read_text()
GLOSSARY = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text()


def test_the_numbers_of_case_facts_are_those_of_the_code() -> None:
    before, after = QUALITY_OF_LIFE
    assert f"{HORIZON_DAYS} days after the index date" in PAGE
    assert f"0 to {READMISSION_DAYS} days" in PAGE
    assert f"{-before} days before it to {after:,} days after it" in PAGE


def test_the_glossary_is_in_order() -> None:
    words = [line.split("|")[1].strip() for line in GLOSSARY.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert words == sorted(words, key=str.casefold)
