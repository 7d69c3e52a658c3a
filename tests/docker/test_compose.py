"""compose.yaml by its published schema, and by what the files around it say: nothing that it names is missing, no container has rights that it does
not need.
"""

import importlib.resources
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from app.commands.backup import backup
from app.settings import Settings
from tests.docker.image import ROOT, instructions
from tests.docker.site import DOCKER

TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def schema() -> Draft202012Validator:
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return Draft202012Validator(json.loads(folder.read_text()))


def defaults(text: str) -> str:
    """As compose reads it where no variable is set."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == "-" else found[1], text)


def variables(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if line and not line.startswith("#"))


def test_the_schema_holds() -> None:
    assert [error.message for error in schema().iter_errors(COMPOSE)] == []


@pytest.mark.parametrize(
    "wrong",
    [{"read_onyl": True}, {"cap_drop": "ALL"}, {"healthcheck": {"interval": 10}}, {"depends_on": {"x": {"condition": "up"}}}],
    ids=str,
)
def test_the_schema_would_find_a_mistake(wrong: dict[str, Any]) -> None:
    planted = COMPOSE | {"services": SERVICES | {"node1": SERVICES["node1"] | wrong}}
    assert list(schema().iter_errors(planted))


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True and service["init"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service.get("user") or _user_of_our_image(service))
    assert service["logging"]["options"]["max-size"] and service["pids_limit"]
    assert service["restart"] in ("unless-stopped", "no")
    assert all(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))


def _user_of_our_image(service: dict[str, Any]) -> str:
    assert service["image"].startswith("csor:")
    return next(text for word, text in instructions(DOCKER / "Dockerfile") if word == "USER")


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])
    assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
    for volume in service.get("volumes", ()):
        source, _, mode = volume.split(":")[0], volume.split(":")[1], volume.split(":")[2:]
        assert (DOCKER / source).is_file() and mode == ["ro"] if source.startswith("./") else source in COMPOSE["volumes"], volume
    for other, how in service.get("depends_on", {}).items():
        assert how["condition"] == ("service_completed_successfully" if other == "replica_set" else "service_healthy")
        assert other == "replica_set" or not SERVICES[other].get("healthcheck", {}).get("disable")
    for file in service.get("env_file", ()):
        assert (DOCKER / file).is_file()


def test_only_the_proxy_can_be_reached_and_the_store_reaches_nobody() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert "store" not in SERVICES["proxy"]["networks"]
    members = [name for name in SERVICES if name.startswith("mongo")]
    assert all(SERVICES[name]["networks"] == ["store"] for name in [*members, "backup"])
    assert defaults(SERVICES["proxy"]["ports"][2]) == "127.0.0.1:2575:2575", (
        "HL7v2 as it comes stays on the machine until somebody decides otherwise"
    )


def test_secrets_are_those_that_are_made_and_no_environment_holds_one(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is absent")
    make = ["sh", str(DOCKER / "make-secrets.sh"), str(tmp_path / "secrets")]
    assert subprocess.run(make, capture_output=True, check=False).returncode == 0
    assert subprocess.run(make, capture_output=True, check=False).returncode == 1, "what is in use is never made anew"
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    made = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert made == set(COMPOSE["secrets"])
    assert {name: one["file"] for name, one in COMPOSE["secrets"].items()} == {name: f"./secrets/{name}" for name in made}
    assert "secrets/\n" in (DOCKER / ".gitignore").read_text()
    values = [*variables(DOCKER / "node.env"), *variables(DOCKER / "example.env")]
    values += [name for service in SERVICES.values() for name in service.get("environment", {})]
    assert not {"CSOR_STORE", "CSOR_SMTP_URL"} & set(values)
    url = (tmp_path / "secrets" / "csor_store").read_text()
    assert "@mongo1:27017,mongo2:27017,mongo3:27017/csor?" in url and "tlsCAFile=/run/secrets/mongo_ca" in url


def test_settings_are_settings_and_variables_are_explained() -> None:
    known = {f"CSOR_{name.upper()}" for name in Settings.model_fields}
    given = set(variables(DOCKER / "node.env")) | set(SERVICES["node1"]["environment"])
    assert given <= known
    assert Settings(**{name.removeprefix("CSOR_").lower(): value for name, value in variables(DOCKER / "node.env").items()})
    assert {found[1] for found in VARIABLE.finditer(TEXT)} == set(variables(DOCKER / "example.env"))


def test_the_image_is_of_this_version_and_the_backup_job_is_understood() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert SERVICES["node1"]["image"] == f"csor:{version}"
    build = SERVICES["node1"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).resolve() == DOCKER / "Dockerfile"
    name, *arguments = map(defaults, SERVICES["backup"]["command"])
    assert name == "backup"
    assert backup.make_context(name, arguments).params == {
        "place": Path("/data"),
        "every": 24.0,
        "keep": 14,
        "store": "",
        "data": "",
    }


def proxied() -> Iterator[tuple[str, str]]:
    for name, value in SERVICES["proxy"]["environment"].items():
        yield name, defaults(value)


def test_the_proxy_is_given_what_it_asks_for(tmp_path: Path) -> None:
    text = (DOCKER / "haproxy.cfg").read_text()
    assert set(re.findall(r"\$\{(PROXY_\w+)\}", text)) == {name for name, _ in proxied()}
    if shutil.which("haproxy") is None or shutil.which("openssl") is None:
        if os.environ.get("CSOR_TEST_REQUIRE") == "1":
            pytest.fail("no haproxy or openssl: make programs")
        pytest.skip("no haproxy or openssl to read the file: make programs")
    subprocess.run(["sh", str(DOCKER / "make-secrets.sh"), str(tmp_path / "secrets")], capture_output=True, check=True)
    environment = dict(proxied()) | {
        "PROXY_CERTIFICATE": str(tmp_path / "secrets" / "site_certificate"),
        "PATH": os.environ["PATH"],
    }
    read = subprocess.run(
        ["haproxy", "-c", "-f", str(DOCKER / "haproxy.cfg")], env=environment, capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr
    warned = [line for line in read.stderr.splitlines() if "WARNING" in line and "could not resolve" not in line]
    assert warned == []
