"""What a hospital's patient administration system would send about a child: HL7 v2.4 messages, in the order of events.

Newborns are often registered before they have a name or an NHS number; some are registered twice and merged; some messages come
twice, some late. `feed` makes all of that from the truth, so that intake has to be right about it.
"""

import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from app.demo.nation import Child, Hospital, Nation, Spell

ICD10 = {
    "oesophageal-atresia": "Q391",
    "gastroschisis": "Q793",
    "congenital-diaphragmatic-hernia": "Q790",
    "hirschsprungs-disease": "Q431",
    "necrotising-enterocolitis": "P77X",
    "posterior-urethral-valves": "Q642",
}


def feed(nation: Nation, hospital: Hospital, seed: int) -> list[bytes]:
    """All messages of one hospital, in the order in which its engine sends them."""
    rng = random.Random(f"{seed}-{hospital.ods}")  # noqa: S311 - a simulation
    stamped: list[tuple[datetime, list[str]]] = []
    for child in nation.of(hospital.ods):
        stamped.extend(_events(rng, child))
    stamped.sort(key=lambda event: event[0])
    messages: list[bytes] = []
    for serial, (sent, segments) in enumerate(stamped, 1):
        event = segments[0]
        head = f"MSH|^~\\&|PAS|{hospital.ods}|CSOR|CSOR|{_ts(sent)}||{event}|{hospital.ods}{serial:07d}|T|2.4"
        messages.append(("\r".join([head, f"EVN|{event.split('^')[1]}|{_ts(sent)}", *segments[1:]]) + "\r").encode("ascii"))
    return _as_the_network_has_it(rng, messages)


def _as_the_network_has_it(rng: random.Random, messages: list[bytes]) -> list[bytes]:
    """One in forty is sent twice; one in fifty changes places with the next."""
    out = list(messages)
    for position in range(len(out) - 1):
        if rng.random() < 0.02:
            out[position], out[position + 1] = out[position + 1], out[position]
    repeated: list[bytes] = []
    for message in out:
        repeated.append(message)
        if rng.random() < 0.025:
            repeated.append(message)
    return repeated


def _events(rng: random.Random, child: Child) -> Iterator[tuple[datetime, list[str]]]:
    first = child.spells[0]
    arrival = _moment(rng, first.admitted)
    temporary = child.inborn and rng.random() < 0.12
    if temporary:  # registered as a newborn without a number, then merged into the proper record
        yield (
            arrival,
            ["ADT^A01", _pid(child, mrn=f"T{child.mrn}", nhs=False, given="Baby"), _nk1(child), _pv1(child, first), _dg1(child)],
        )
        merged = arrival + timedelta(hours=30)
        yield merged - timedelta(minutes=5), ["ADT^A28", _pid(child, given="Baby"), _nk1(child), "PV1|1|N"]
        yield merged, ["ADT^A40", _pid(child, given="Baby"), f"MRG|T{child.mrn}^^^{child.hospital.ods}^MR"]
    else:
        yield arrival, ["ADT^A01", _pid(child, given="Baby"), _nk1(child), _pv1(child, first), _dg1(child)]
    yield arrival + timedelta(days=2), ["ADT^A08", _pid(child), _nk1(child), _pv1(child, first)]
    if rng.random() < 0.3:
        yield arrival + timedelta(days=3), ["ORU^R01", _pid(child), *_results(rng, child, arrival + timedelta(days=3))]
    for spell in child.spells:
        if spell.number > 1:
            yield _moment(rng, spell.admitted), ["ADT^A01", _pid(child), _nk1(child), _pv1(child, spell)]
        silent = spell.died and child.death_known_by == "statistics"
        if not silent:
            yield _moment(rng, spell.discharged, 15), _discharge(rng, child, spell)
    if child.died and child.death_known_by == "register":
        yield _moment(rng, child.died + timedelta(days=4)), ["ADT^A31", _pid(child, died=child.died), "PV1|1|N"]


def _discharge(rng: random.Random, child: Child, spell: Spell) -> list[str]:
    segments = ["ADT^A03", _pid(child, died=child.died if spell.died else None), _pv1(child, spell, ended=True)]
    if spell.infection and rng.random() < 0.5:
        segments.append(f"DG1|1||{spell.infection}^^I10|||F")
    operated = [operation for operation in child.operations if operation.spell == spell.number]
    if operated and rng.random() < 0.5:
        segments += [f"PR1|{n}||{o.opcs}^^OPCS4||{o.on:%Y%m%d}" for n, o in enumerate(operated, 1)]
    return segments


def _pid(child: Child, *, mrn: str | None = None, nhs: bool = True, given: str | None = None, died: date | None = None) -> str:
    numbers = [f"{child.nhs_number}^^^NHS^NH"] if nhs else []
    numbers.append(f"{mrn or child.mrn}^^^{child.hospital.ods}^MR")
    fields = [""] * 33
    fields[0], fields[1], fields[3] = "PID", "1", "~".join(numbers)
    fields[5] = f"{child.family}^{given or child.given}"
    fields[7], fields[8] = f"{child.born:%Y%m%d}", "1" if child.sex == "male" else "2"
    if died:
        fields[29], fields[30] = f"{died:%Y%m%d}", "Y"
    if nhs:
        fields[32] = "NSTS01"
    return "|".join(fields).rstrip("|")


def _nk1(child: Child) -> str:
    return f"NK1|1|{child.family}^Parent|MTH||^NET^Internet^{child.email}"


def _pv1(child: Child, spell: Spell, *, ended: bool = False) -> str:
    fields = [""] * 46
    fields[0], fields[1], fields[2] = "PV1", "1", "I"
    fields[3], fields[4], fields[10] = f"NICU^^^{child.hospital.ods}", spell.method, "171"
    fields[14], fields[19] = "19", visit_number(child, spell)
    fields[44] = f"{spell.admitted:%Y%m%d}0900"
    if ended:
        fields[36], fields[45] = "79" if spell.died else "19", f"{spell.discharged:%Y%m%d}1400"
    return "|".join(fields).rstrip("|")


def _dg1(child: Child) -> str:
    return f"DG1|1||{ICD10[child.condition]}^^I10|||A"


def _results(rng: random.Random, child: Child, at: datetime) -> list[str]:
    return [
        f"OBR|1||{child.mrn}L1|CRP^C-reactive protein^L|||{_ts(at)}",
        f"OBX|1|NM|1988-5^C reactive protein^LN||{rng.uniform(1, 60):.1f}|mg/L^^UCUM|||||F|||{_ts(at)}",
        f"OBX|2|NM|2160-0^Creatinine^LN||{rng.randint(20, 90)}|umol/L^^UCUM|||||F|||{_ts(at)}",
    ]


def visit_number(child: Child, spell: Spell) -> str:
    """The provider spell number, the same in the hospital's messages and in episode statistics."""
    return f"{child.mrn}V{spell.number:02d}"


def _moment(rng: random.Random, day: date, hour: int = 9) -> datetime:
    return datetime.combine(day, time(hour, rng.randrange(60), rng.randrange(60)))


def _ts(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S}"
