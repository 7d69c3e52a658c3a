"""The documentation says what the server says of itself: every type, operation and search parameter, and nothing from elsewhere."""

import re

import pytest

from tests.web.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_type_operation_and_parameter_is_named(site: Site) -> None:
    rest = (await site.get("", "/fhir/metadata")).json()["rest"][0]
    page = (await site.get("", "/documentation")).text
    for resource in rest["resource"]:
        assert f'href="/documentation/{resource["type"]}"' in page
        for operation in resource.get("operation", ()):
            assert f'id="operation-{operation["name"]}"' in page
    for type in ("Patient", "Observation", "Bundle", "EpisodeOfCare"):
        told = (await site.get("", f"/documentation/{type}")).text
        (resource,) = [each for each in rest["resource"] if each["type"] == type]
        named = re.findall(r"<td class=\"nhsuk-table__cell\"><code>([^<]+)</code>", told)
        assert named == [parameter["name"] for parameter in resource["searchParam"]]
        for interaction in resource["interaction"]:
            assert interaction["code"] in told


async def test_the_parameters_of_an_operation_are_named(site: Site) -> None:
    page = (await site.get("", "/documentation")).text
    (operation,) = [each for each in site.context.operations if each.name == "evaluate-measure"]
    section = page[page.index('id="operation-evaluate-measure"') :]
    section = section[: section.index("<h3", 10)]
    for parameter in operation.definition["parameter"]:
        if parameter["use"] == "in":
            assert f"<code>{parameter['name']}</code>" in section


async def test_the_address_is_the_readers_own(site: Site) -> None:
    async with site.stranger() as browser:
        assert "http://localhost/fhir" in (await browser.get("/documentation")).text
        answer = await browser.get("/documentation", headers={"host": "csor.example.org"})
        assert "http://csor.example.org/fhir" in answer.text


@pytest.mark.parametrize("type", ["Nothing", "patient", "R4"])
async def test_a_type_that_is_none_is_not_found(site: Site, type: str) -> None:
    assert (await site.get("", f"/documentation/{type}")).status_code == 404
