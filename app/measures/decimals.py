"""Figures as FHIR decimals: fixed places, so that a report reads 0.80 and not 0.8000000000000001 or 8e-01."""

from decimal import Decimal


def decimal(value: float, places: int) -> Decimal:
    """`value` rounded to `places`, trailing zeros kept."""
    return Decimal(f"{value:.{places}f}")
