"""Messages as hospitals send them, made by parts. Numbers pass their check and belong to the range set aside for tests."""

from collections.abc import Mapping
from typing import Any

NHS = "9990000018"
OTHER_NHS = "9990000026"


def segment(name: str, fields: Mapping[int, str]) -> str:
    parts = [""] * (max(fields, default=0) + 1)
    parts[0] = name
    for number, value in fields.items():
        parts[number] = value
    return "|".join(parts)


def msh(event: str = "ADT^A01", *, control: str = "1", at: str = "20240301090000", version: str = "2.4", **more: Any) -> str:
    fields = {2: "PAS", 3: "RXX", 4: "CSOR", 5: "CSOR", 6: at, 8: event, 9: control, 10: "T", 11: version}
    fields |= {int(name[1:]) - 1: value for name, value in more.items()}
    return "MSH|^~\\&|" + segment("", fields).removeprefix("|").removeprefix("|")


def pid(*, mrn: str = "M1", nhs: str = NHS, **more: str) -> str:
    numbers = [f"{nhs}^^^NHS^NH"] if nhs else []
    numbers += [f"{mrn}^^^RXX^MR"] if mrn else []
    fields = {1: "1", 3: "~".join(numbers), 5: "Example^Baby", 7: "20240228", 8: "2"}
    fields |= {int(name[1:]): value for name, value in more.items()}
    return segment("PID", fields)


def pv1(*, visit: str = "V1", **more: str) -> str:
    fields = {1: "1", 2: "I", 4: "82", 19: visit, 44: "202403010900"}
    fields |= {int(name[1:]): value for name, value in more.items()}
    return segment("PV1", fields)


def message(event: str, *segments: str, at: str = "20240301090000", control: str | None = None, **more: Any) -> bytes:
    """An ADT message with EVN-2 and MSH-7 at `at`; `more` are MSH fields such as f15="AL"."""
    head = msh(f"ADT^{event}", control=control or f"{event}{at}", at=at, **more)
    return ("\r".join([head, f"EVN|{event}|{at}", *segments]) + "\r").encode()


def result(*segments: str, at: str = "20240303120000", control: str | None = None, patient: str | None = None) -> bytes:
    head = msh("ORU^R01", control=control or f"R{at}", at=at)
    return ("\r".join([head, patient or pid(), *segments]) + "\r").encode()
