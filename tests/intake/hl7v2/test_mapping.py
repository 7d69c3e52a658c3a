"""What messages say becomes the right resources, in the UK reading."""

from decimal import Decimal

from app import names
from app.store.protocol import Store
from tests.intake.hl7v2.conftest import Send, only, records, resources
from tests.intake.hl7v2.messages import NHS, message, pid, pv1, result

DG1 = "DG1|1||Q39.1^Oesophageal atresia^ICD10||20240301|F"
PR1 = "PR1|1||G07.1^Repair of fistula^OPCS4||202403021030"


async def test_an_admission(send: Send, store: Store) -> None:
    answer = await send(
        message(
            "A01",
            pid(f22="A", f11="1 Road^^Town^^ab1 2cd^^H"),
            pv1(f9="C3456789^Darwin^Sam^^^Dr^^^GMC", f10="171", f14="19"),
            DG1,
            PR1,
        )
    )
    assert answer["MSA-1"] == "AA"
    patient = await only(store, "Patient")
    assert {(each["system"], each["value"]) for each in patient["identifier"]} == {
        (names.NHS_NUMBER, NHS),
        (names.mrn_system("RXX"), "M1"),
    }
    assert (patient["gender"], patient["birthDate"], patient["name"][0]["family"]) == ("female", "2024-02-28", "Example")
    assert patient["address"][0]["postalCode"] == "AB1 2CD"
    encounter = await only(store, "Encounter")
    assert (encounter["status"], encounter["class"]["code"]) == ("in-progress", "IMP")
    assert encounter["period"] == {"start": "2024-03-01T09:00:00+00:00"}
    assert encounter["hospitalization"]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "82"
    assert encounter["hospitalization"]["admitSource"]["coding"][0]["code"] == "19"
    assert encounter["participant"][0]["individual"]["identifier"]["value"] == "3456789"
    assert encounter["subject"]["reference"] == f"Patient/{patient['id']}"
    condition, procedure = await only(store, "Condition"), await only(store, "Procedure")
    assert condition["code"]["coding"][0] == {"system": names.ICD10, "code": "Q39.1", "display": "Oesophageal atresia"}
    assert condition["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert procedure["encounter"]["reference"] == condition["encounter"]["reference"] == f"Encounter/{encounter['id']}"
    assert procedure["performedDateTime"] == "2024-03-02T10:30:00+00:00"
    assert all(each["meta"]["tag"][0]["code"] == "hl7v2" for each in (patient, encounter, condition, procedure))


async def test_an_operation_still_to_come_is_planned_and_then_done(send: Send, store: Store) -> None:
    await send(message("A01", pid(), pv1(), PR1))
    assert (await only(store, "Procedure"))["status"] == "preparation"
    await send(message("A08", pid(), pv1(), PR1, at="20240303080000"))
    assert (await only(store, "Procedure"))["status"] == "completed"


async def test_a_discharge(send: Send, store: Store) -> None:
    await send(message("A01", pid(), pv1()))
    await send(message("A03", pid(), pv1(f36="19", f45="202403101400"), at="20240310140500"))
    encounter = await only(store, "Encounter")
    assert encounter["status"] == "finished"
    assert encounter["period"]["end"] == "2024-03-10T14:00:00+00:00"
    assert encounter["hospitalization"]["dischargeDisposition"]["coding"][0]["code"] == "19"
    assert "deceasedDateTime" not in await only(store, "Patient")


async def test_death_by_discharge_destination_or_method(send: Send, store: Store) -> None:
    for number, (visit, code) in enumerate([("V1", "79"), ("V2", "4"), ("V3", "5")], 1):
        patient = pid(mrn=f"D{number}", nhs="")
        await send(message("A03", patient, pv1(visit=visit, f36=code, f45="202403101400"), at=f"2024031014050{number}"))
    assert [each["deceasedDateTime"] for each in await resources(store, "Patient")] == ["2024-03-10T14:00:00+00:00"] * 3


async def test_death_by_pid_keeps_its_precision_and_outranks_the_discharge(send: Send, store: Store) -> None:
    await send(message("A03", pid(f29="20240309", f30="Y"), pv1(f36="79", f45="202403101400"), at="20240310140500"))
    assert (await only(store, "Patient"))["deceasedDateTime"] == "2024-03-09"


async def test_a_repeated_default_does_not_bring_the_dead_back_but_a_cancelled_discharge_does(send: Send, store: Store) -> None:
    await send(message("A03", pid(), pv1(f36="79", f45="202403101400"), at="20240310140500"))
    await send(message("A08", pid(f30="N"), pv1(), at="20240311000000"))
    assert "deceasedDateTime" in await only(store, "Patient")
    await send(message("A13", pid(f30="N"), pv1(), at="20240312000000"))
    assert (await only(store, "Patient"))["deceasedBoolean"] is False
    assert (await only(store, "Encounter"))["status"] == "in-progress"


async def test_death_flag_alone(send: Send, store: Store) -> None:
    await send(message("A31", pid(f30="Y")))
    assert (await only(store, "Patient"))["deceasedBoolean"] is True


async def test_a31_never_touches_the_visit(send: Send, store: Store) -> None:
    await send(message("A01", pid(), pv1()))
    before = await only(store, "Encounter")
    await send(message("A31", pid(f5="Example^Rose"), pv1(f2="O", f45="202404010000"), at="20240401000000"))
    assert await only(store, "Encounter") == before
    assert (await only(store, "Patient"))["name"][0]["given"] == ["Rose"]


async def test_quotes_delete_and_empty_leaves(send: Send, store: Store) -> None:
    await send(message("A01", pid(f11="1 Road^^Town", f13="0123"), pv1(f10="171")))
    await send(message("A08", pid(f11='""', f13=""), pv1(f10='""'), at="20240302000000"))
    patient = await only(store, "Patient")
    assert "address" not in patient and patient["telecom"][0]["value"] == "0123"
    assert "serviceType" not in await only(store, "Encounter")


async def test_what_other_channels_put_into_a_resource_stays(send: Send, store: Store) -> None:
    from app.security.access import SYSTEM
    from app.store.protocol import Put

    await send(message("A01", pid(), pv1()))
    patient = {**await only(store, "Patient"), "maritalStatus": {"text": "a child"}}
    await store.commit(SYSTEM, [Put(patient)])
    await send(message("A08", pid(f8="1"), pv1(), at="20240302000000"))
    after = await only(store, "Patient")
    assert (after["maritalStatus"], after["gender"]) == ({"text": "a child"}, "male")


async def test_the_order_of_a_multiple_birth(send: Send, store: Store) -> None:
    for order, at, expected in (("2", "20240301090000", 2), ("²", "20240302090000", True)):
        assert (await send(message("A01", pid(f24="Y", f25=order), pv1(), at=at)))["MSA-1"] == "AA"
        patient = await only(store, "Patient")
        assert patient.get("multipleBirthInteger", patient.get("multipleBirthBoolean")) == expected


async def test_variants_of_the_nhs_number(send: Send, store: Store) -> None:
    for number, written in enumerate(
        [
            "9990000018^^^NHS^NH",
            "999 000 0026^^^NHS^HN",
            "9990000034^^^NHSNBR^NHSNMBR",
            "9990000042^^^NHSNMBR",
            "9990000050^^^^NH",
        ]
    ):
        await send(message("A28", pid(mrn="", nhs="", f3=f"{written}~K{number}^^^MRENTR^MEDREC"), control=str(number)))
    found = [each["identifier"] for each in await resources(store, "Patient")]
    assert sorted(next(i["value"] for i in each if i["system"] == names.NHS_NUMBER) for each in found) == [
        "9990000018",
        "9990000026",
        "9990000034",
        "9990000042",
        "9990000050",
    ]
    assert all(names.mrn_system("RXX") in {i["system"] for i in each} for each in found)


async def test_a_wrong_nhs_number_stays_unverified_and_the_message_is_flagged(send: Send, store: Store) -> None:
    for bad in ("9990000019", "3333333333", "0000000000"):
        await send(message("A28", pid(mrn="M" + bad, nhs=bad), control=bad))
    for patient in await resources(store, "Patient"):
        assert names.NHS_NUMBER not in [each.get("system") for each in patient["identifier"]]
        assert [each["type"]["text"] for each in patient["identifier"] if "type" in each] == ["NHS number, not verified"]
    assert len(await records(store, "warning")) == 3


async def test_record_numbers_of_other_authorities_are_kept_apart(send: Send, store: Store) -> None:
    await send(message("A28", pid(mrn="", nhs="", f3="7^^^RXX^MR"), control="1"))
    await send(message("A28", pid(mrn="", nhs="", f3="7^^^EYE^MR"), control="2"))
    await send(message("A28", pid(mrn="", nhs="", f3="7^^^RXX55^MR~123-45^^^SSA^SS"), control="3"))
    systems = [[each["system"] for each in patient["identifier"]] for patient in await resources(store, "Patient")]
    assert sorted(systems) == [[names.mrn_system("RXX")], [names.mrn_system("RXX-EYE")]]


async def test_sex_in_nhs_codes_and_an_unknown_one(send: Send, store: Store) -> None:
    for number, code in enumerate(["1", "2", "9", "X", "M", "Q"]):
        await send(message("A28", pid(mrn=f"S{number}", nhs="", f8=code), control=code))
    genders = {patient["identifier"][0]["value"]: patient["gender"] for patient in await resources(store, "Patient")}
    assert genders == {"S0": "male", "S1": "female", "S2": "unknown", "S3": "unknown", "S4": "male", "S5": "unknown"}
    [flagged] = await records(store, "warning")
    assert flagged.data["problems"][0][1] == "PID-8"


async def test_an_unmapped_code_is_kept_with_its_text_and_flagged(send: Send, store: Store) -> None:
    await send(message("A01", pid(), pv1(f4="28b"), "DG1|1||X99^Odd thing^HOUSE"))
    concept = (await only(store, "Condition"))["code"]
    assert concept == {"coding": [{"code": "X99", "display": "Odd thing"}], "text": "Odd thing"}
    [flagged] = await records(store, "warning")
    assert {problem[1] for problem in flagged.data["problems"]} == {"PV1-4", "DG1-3"}


async def test_codes_with_and_without_point_and_padding_are_one(send: Send, store: Store) -> None:
    await send(message("A01", pid(), pv1(), "DG1|1||P77X^^I10"))
    await send(message("A08", pid(), pv1(), "DG1|1||P77^^ICD10", "PR1|1||t071||20240301", at="20240302000000"))
    assert (await only(store, "Condition"))["code"]["coding"][0]["code"] == "P77"
    assert (await only(store, "Procedure"))["code"]["coding"][0] == {"system": names.OPCS4, "code": "T07.1"}


async def test_visits_without_a_number(send: Send, store: Store) -> None:
    bare = "PV1|1|I||82"
    await send(message("A01", pid(), bare))
    [visit] = await resources(store, "Encounter")
    assert visit["period"]["start"] == "2024-03-01T09:00:00+00:00" and "identifier" not in visit
    await send(message("A03", pid(), pv1(visit="", f36="79"), at="20240310140500"))
    assert (await only(store, "Encounter"))["status"] == "finished"  # PV1-44 is the time at which it began
    await send(message("A03", pid(mrn="M2", nhs=""), "PV1|1|I" + "|" * 34 + "79", DG1, at="20240310140500"))
    assert len(await resources(store, "Encounter")) == 1
    assert sum("deceasedDateTime" in patient for patient in await resources(store, "Patient")) == 2
    assert "encounter" not in await only(store, "Condition")
    assert len(await records(store, "warning")) == 2


async def test_an_action_code_takes_back(send: Send, store: Store) -> None:
    await send(message("A01", pid(), pv1(), DG1, PR1))
    deleted = DG1 + "|" * 15 + "D", PR1 + "|" * 15 + "D"
    await send(message("A08", pid(), pv1(), *deleted, at="20240305000000"))
    assert (await only(store, "Procedure"))["status"] == "entered-in-error"
    condition = await only(store, "Condition")
    assert condition["verificationStatus"]["coding"][0]["code"] == "entered-in-error" and "clinicalStatus" not in condition


async def test_results_keep_type_digits_and_status(send: Send, store: Store) -> None:
    obr = "OBR|1||L1|CRP^C-reactive protein^L|||202403030800||||||||||||||||||LAB|F"
    await send(
        result(
            obr,
            "OBX|1|NM|1988-5^CRP^LN||5.10|mg/L^^UCUM|<5|H|||F|||202403030730",
            "NTE|1||haemolysed",
            "OBX|2|SN|2^Titre^L||^1^:^128||||||F",
            "OBX|3|NM|3^X^L||<0.3|mg/L|||||P",
            "OBX|4|CE|4^Culture^L||POS^Positive^L||||||C",
            "OBX|5|TX|5^Words^L||one~two||||||F",
            "OBX|6|ED|6^Report^L||^AP^PDF^Base64^AAAA||||||F",
            "OBX|7|NM|7^Y^L||lots||||||F",
        )
    )
    found = {each["code"]["coding"][0]["code"]: each for each in await resources(store, "Observation")}
    crp = found["1988-5"]
    assert crp["valueQuantity"] == {"value": Decimal("5.10"), "unit": "mg/L", "system": names.UCUM, "code": "mg/L"}
    assert str(crp["valueQuantity"]["value"]) == "5.10"
    assert crp["effectiveDateTime"] == "2024-03-03T07:30:00+00:00"
    assert (crp["note"][0]["text"], crp["referenceRange"][0]["text"]) == ("haemolysed", "<5")
    assert crp["interpretation"][0]["coding"][0]["code"] == "H"
    assert found["2"]["valueRatio"]["denominator"]["value"] == 128
    assert (found["3"]["valueQuantity"]["comparator"], found["3"]["status"]) == ("<", "preliminary")
    assert (found["4"]["valueCodeableConcept"]["text"], found["4"]["status"]) == ("Positive", "corrected")
    assert found["5"]["valueString"] == "one\ntwo"
    assert found["6"]["dataAbsentReason"]["coding"][0]["code"] == "unsupported"
    assert found["7"]["valueString"] == "lots"


async def test_a_corrected_result_replaces_and_a_new_order_adds(send: Send, store: Store) -> None:
    def crp(order: str, value: str, status: str) -> tuple[str, str]:
        return f"OBR|1||{order}|CRP|||202403030800", f"OBX|1|NM|1988-5^CRP^LN||{value}|mg/L|||||{status}"

    await send(result(*crp("L1", "5", "F")))
    await send(result(*crp("L1", "6", "C"), at="20240303130000"))
    await send(result(*crp("L2", "7", "F"), at="20240303140000"))
    values = sorted((each["valueQuantity"]["value"], each["status"]) for each in await resources(store, "Observation"))
    assert values == [(6, "corrected"), (7, "final")]


async def test_a_number_that_moves_to_another_record_is_followed_at_once(send: Send, store: Store) -> None:
    """The inbox remembers whom it found; a merge by somebody else in between must count for the next message."""
    from app.registry import patients
    from app.security.access import SYSTEM

    await send(message("A28", pid(mrn="OLD", nhs="")))
    await send(message("A31", pid(mrn="OLD", nhs=""), at="20240302000000"))
    await send(message("A28", pid(mrn="NEW", nhs="")))
    by_number = {each["identifier"][0]["value"]: each["id"] for each in await resources(store, "Patient")}
    kept, gone = [await store.read(SYSTEM, "Patient", by_number[number]) for number in ("NEW", "OLD")]
    await patients.merge(store, SYSTEM, kept, gone)
    await send(message("A01", pid(mrn="OLD", nhs=""), pv1(), at="20240303000000"))
    assert (await only(store, "Encounter"))["subject"]["reference"] == f"Patient/{kept.id}"


async def test_a_laboratory_does_not_change_who_the_child_is(send: Send, store: Store) -> None:
    await send(message("A01", pid(f5="Example^Rose"), pv1()))
    await send(result("OBR|1||L1|CRP", "OBX|1|NM|1^x^L||5||||||F", patient=pid(f5="EXAMPLE^BABY", f8="1")))
    patient = await only(store, "Patient")
    assert (patient["name"][0]["given"], patient["gender"]) == (["Rose"], "female")


async def test_ids_tell_nothing_and_stay(send: Send, store: Store) -> None:
    await send(message("A01", pid(mrn="SECRET7"), pv1(visit="VISIT99"), DG1, PR1))
    text = " ".join([stored.reference async for stored in store.scan(_system())])
    assert "SECRET7" not in text and "VISIT99" not in text and NHS not in text
    [record] = await records(store)
    assert "SECRET7" not in record.key + record.tag


def _system():  # type: ignore[no-untyped-def]
    from app.security.access import SYSTEM

    return SYSTEM


async def test_every_resource_passes_a_second_opinion(send: Send, store: Store) -> None:
    """What we make is also read by another library (its R4B is R4 for these types)."""
    import json

    from fhir.resources.R4B import get_fhir_model_class

    await send(
        message(
            "A01",
            pid(f22="A", f29="20240310", f7="202402281155"),
            pv1(f9="C1^A^B^^^Dr^^^GMC", f36="4", f45="202403101000"),
            DG1,
            PR1,
            "NK1|1|Example^Mum|MTH^Mother||0123",
        )
    )
    await send(result("OBR|1||L1|CRP", "OBX|1|NM|1^x^L||5.0||||||F"))
    seen = set()
    async for stored in store.scan(_system()):
        get_fhir_model_class(stored.type).model_validate(json.loads(stored.raw))
        seen.add(stored.type)
    assert seen >= {"Patient", "Encounter", "Condition", "Procedure", "Observation", "Organization"}
