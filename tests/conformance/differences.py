"""The list of differences from outside suites, each with its rule and reason (differences.toml)."""

import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("differences.toml")


def differences(suite: str) -> dict[str, dict[str, str]]:
    """Of one suite, by case: `{"quantity-qr": {"differs-from": "java", "rule": ..., "reason": ...}}`."""
    found: dict[str, dict[str, str]] = tomllib.loads(FILE.read_text()).get(suite, {})
    return found
