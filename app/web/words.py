"""What a result is called, for those who know the statistics and for those who need not. Every word about a figure is here.

What must stay true: both frames are always told (who did and who did not), a hospital is compared with its own range alone, and words never rank.
"""

from dataclasses import dataclass
from math import ceil

from app.measures.report import LIMIT_PLACES
from app.measures.table import Row


@dataclass(frozen=True, slots=True)
class Wording:
    """`did` and `did_not` follow "of 100 children 80 …"; `question` heads the public page."""

    title: str
    question: str
    did: str
    did_not: str
    meaning: str


WORDINGS = {
    "treatment-success": Wording(
        "Treatment success",
        "How many children did well?",
        "did well",
        "did not do well",
        "“Did well” looks at a child’s first year after the operation: further operations, infections, how the child feels and gets on, and "
        "survival. Parents tell us how their child is.",
    ),
    "survival-to-one-year": Wording(
        "Alive after one year",
        "How many children were alive a year later?",
        "were alive a year later",
        "had died by then",
        "We count from the day of a child’s first operation.",
    ),
    "unplanned-reoperation": Wording(
        "Operations not planned",
        "How many children needed an operation that was not planned?",
        "needed an operation that was not planned",
        "did not",
        "We count emergency operations after the day of the first one, for a year. Here a lower number is better.",
    ),
    "infection": Wording(
        "Infections",
        "How many children were in hospital with an infection?",
        "were treated in hospital for an infection",
        "were not",
        "We count the first year after the operation. Here a lower number is better.",
    ),
}
CONDITIONS = {
    "oesophageal-atresia": "Oesophageal atresia",
    "gastroschisis": "Gastroschisis",
    "hirschsprungs-disease": "Hirschsprung’s disease",
    "posterior-urethral-valves": "Posterior urethral valves",
    "congenital-diaphragmatic-hernia": "Congenital diaphragmatic hernia",
    "necrotising-enterocolitis": "Necrotising enterocolitis",
}
PLAIN_BANDS = {
    "as-expected": "As expected for the children treated here",
    "better": "Better than expected for the children treated here",
    "fewer-good": "Fewer good outcomes than expected for the children treated here",
    "too-few": "Too few children to tell",
    "": "Not compared yet",
}
SHORT_BANDS = {
    "as-expected": "As expected",
    "better": "Better than expected",
    "fewer-good": "Fewer good outcomes than expected",
    "too-few": "Too few children to tell",
    "": "Not compared yet",
}
_OUTSIDE = {
    "alert": "Outside the range that chance gives 19 times in 20.",
    "alarm": "Outside the range that chance gives 998 times in 1,000.",
}
_NEXT = {
    ("fewer-good", "alert"): "It is a reason to look closer, not a verdict.",
    ("fewer-good", "alarm"): "Look into it now: the data first, then the children, then the care.",
    ("better", "alert"): "It may be chance. See whether it lasts.",
    ("better", "alarm"): "Look at the data first. If it holds, others can learn from it.",
}


def wording(measure: str) -> Wording:
    """Of a measure that a page shows."""
    return WORDINGS[measure]


def percent(share: float | None) -> str:
    """For reading, without digits that mean nothing."""
    return "" if share is None else f"{100 * share:.0f}%"


def of_hundred(row: Row) -> int | None:
    """The number of 100 children with the event, None where nothing may be told."""
    return None if row.proportion is None else round(100 * row.proportion)


def headline(row: Row, measure: str) -> str:
    """What happened against what was expected, in one sentence, for the hospital."""
    if row.known is None:
        return "The numbers are shown to the hospital alone, so that no child can be found out."
    if not row.known:
        return "No child of this period has an outcome that is known yet."
    told = f"{row.observed} of {row.known} children {wording(measure).did}"
    if row.expected is None or row.ratio is None or row.low is None or row.high is None:
        return f"{told}. They cannot be compared yet: no case-mix model has been fitted."
    return (
        f"{told}; {row.expected:.1f} were expected to. That is {row.ratio:.2f} times what was expected "
        f"(95% interval {row.low:.2f} to {row.high:.2f})."
    )


def expected_shares(row: Row) -> tuple[float, float, float, float] | None:
    """The least and the most share that would not be unusual, at 95 % and at 99.8 %, in whole children.

    `Row.limits` are interpolated, for curves. A result is flagged by its exact tails; the least count that is not is the next whole number, at both
    ends. So a dot lies outside the bar exactly where the words say so (the tolerance is for what a published report rounds, and for arithmetic).
    """
    if row.limits is None or not row.known:
        return None
    tolerance = 1e-6 + 10**-LIMIT_PLACES * row.known
    low, high, lowest, highest = (min(max(ceil(limit * row.known - tolerance), 0), row.known) / row.known for limit in row.limits)
    return low, high, lowest, highest


def signal(row: Row) -> str:
    """What an unusual result asks for, "" for one that is not unusual."""
    return f"{_OUTSIDE[row.signal]} {_NEXT[row.band_code, row.signal]}" if row.signal else ""


def chance(row: Row) -> str:
    """What chance alone would give, in children."""
    shares = expected_shares(row)
    if shares is None or not row.known:
        return ""
    low, high, lowest, highest = (round(share * row.known) for share in shares)
    return (
        f"If care here were just average, chance would put the number between {low} and {high} in 19 of 20 groups of children like "
        f"these, and between {lowest} and {highest} in 998 of 1,000."
    )


def expected_range(row: Row) -> str:
    """For parents: the range that was expected, of 100 children."""
    shares = expected_shares(row)
    if shares is None:
        return ""
    return f"between {round(100 * shares[0])} and {round(100 * shares[1])} of 100"


def eligible(row: Row) -> int | None:
    """Children whose outcome could be known, with those of whom it is not."""
    return round(row.known / row.completeness) if row.known is not None and row.completeness else None


def missing(row: Row) -> str:
    """How much is not known, and what that could change."""
    whole = eligible(row)
    if whole is None or row.observed is None or row.known is None:
        return ""
    unknown = whole - row.known
    if not unknown:
        return f"The outcome of all {whole} children is known."
    low, high = row.observed / whole, (row.observed + unknown) / whole
    return (
        f"The outcome of {row.known} of {whole} children is known ({percent(row.completeness)}). Depending on the other {unknown}, the share "
        f"could be anything from {percent(low)} to {percent(high)}."
    )


def condition(code: str) -> str:
    """Of a stratum."""
    return CONDITIONS.get(code, code)
