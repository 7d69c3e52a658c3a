"""No name, identifier or date of birth reaches a log line, whatever comes in and however wrong it is."""

from pathlib import Path

import httpx

from tests.journeys.conftest import csor, launch

NUMBER, FAMILY, GIVEN, BORN, RECORD = "9990000018", "Zyxwvutfamily", "Qponmlkgiven", "2019-08-07", "MRN-73519"
TRACES = (NUMBER, FAMILY, GIVEN, BORN, BORN.replace("-", ""), RECORD)
PATIENT = {
    "resourceType": "Patient",
    "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": NUMBER}],
    "name": [{"family": FAMILY, "given": [GIVEN]}],
    "birthDate": BORN,
}
MESSAGE = (
    "MSH|^~\\&|PAS|ZAA|CSOR|CSOR|20240328090000||{event}|{control}|T|2.4\rEVN|A01|20240328090000\r"
    f"PID|1||{NUMBER}^^^NHS^NH~{RECORD}^^^ZAA^MR||{FAMILY}^{GIVEN}||20190807|2\rPV1|1|I|W^^^ZAA|82|||||||||||||||V{RECORD}\r"
)


def test_logs_at_their_most_talkative_name_nobody(tmp_path: Path) -> None:
    server = launch(tmp_path / "data", env={"CSOR_LOG_LEVEL": "debug"})
    try:
        with server.client() as client:
            assert client.post("/Patient", json=PATIENT).status_code == 201
            client.get("/Patient", params={"family": FAMILY, "birthdate": BORN, "identifier": NUMBER})
            client.get("/Patient", params={"birthdate": f"{BORN}T99", "nonsense": FAMILY}, headers={"prefer": "handling=strict"})
            client.get(f"/Patient/{NUMBER}")
            client.get(f"/{FAMILY}/{NUMBER}/{RECORD}")
            client.post("/Patient", json=PATIENT | {"gender": FAMILY, "birthDate": f"{BORN}-31"})
            client.post("/Patient", content=f'{{"resourceType":"Patient","{FAMILY}":'.encode())
            client.put(f"/Patient?identifier={NUMBER}", json=PATIENT | {"active": True})
            client.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": PATIENT}]})
        with httpx.Client(base_url=server.base, follow_redirects=True) as browser:
            browser.get(f"/follow-up/{FAMILY}-{NUMBER}")
            browser.get(f"/operative-record?patient={NUMBER}&name={FAMILY}")
            browser.post("/sign-in", data={"username": FAMILY, "password": RECORD})
        assert server.mllp
        for number, event in enumerate(("ADT^A01", "ADT^Z99", "XXX"), 1):
            file = tmp_path / f"{number}.hl7"
            file.write_text(MESSAGE.format(event=event, control=number), newline="")
            csor("hl7", "send", str(file), "--to", f"{server.mllp[0]}:{server.mllp[1]}")
    finally:
        server.stop()
    said = "\n".join(server.lines)
    assert said.count("{") > 10, "the server must have logged for this to mean anything"
    assert [trace for trace in TRACES if trace in said] == []
