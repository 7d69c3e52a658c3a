import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.fhir import codec
from app.fhir.errors import Invalid
from app.outcomes import artefact, weights

SHIPPED = artefact.shipped("treatment-success-demonstration")


def changed(document: dict[str, Any] | None = None, **library: Any) -> dict[str, Any]:
    content = copy.deepcopy(artefact.document(SHIPPED)) | (document or {})
    return artefact.packed({**SHIPPED, **library}, content)


def attributes() -> dict[str, dict[str, Any]]:
    return {each["code"]: each for each in artefact.document(SHIPPED)["attributes"]}


def test_the_shipped_set_keeps_every_published_constraint() -> None:
    worst = {code: -min(each["betas"]) for code, each in attributes().items()}
    palliation = -artefact.document(SHIPPED)["palliation"]
    assert worst["quality-of-life"] / worst["survival"] == pytest.approx(0.996)  # lived experience
    assert all(range_ < palliation for range_ in worst.values())
    for code in (*weights.OPERATIONS, "infections"):
        assert worst[code] < worst["survival"] / 3
    for each in attributes().values():
        assert each["betas"] == sorted(each["betas"], reverse=True) and each["betas"][0] == 0


def test_what_ships_calls_itself_a_demonstration_everywhere() -> None:
    assert SHIPPED["experimental"] is True and SHIPPED["status"] == "draft"
    assert "emonstration" in SHIPPED["name"] and "demonstration" in SHIPPED["title"]
    assert SHIPPED["description"].startswith("A DEMONSTRATION")
    loaded = weights.demonstration()
    assert loaded.standing == "demonstration" and "demonstration" in loaded.label


def test_no_set_is_called_the_programmes_unless_it_says_so_and_is_asked_to() -> None:
    with pytest.raises(Invalid, match="cannot be called the programme's"):
        weights.load(SHIPPED, as_programme=True)
    declared = changed({"standing": "programme", "source": "a paper"}, title="Weights", status="active", experimental=False)
    assert weights.load(declared, as_programme=True).label == "Weights"
    assert weights.load(declared).label == "Weights (not confirmed as the programme's)"
    for broken in (
        changed({"standing": "programme", "source": ""}, status="active", experimental=False),
        changed({"standing": "programme", "source": "a paper"}, status="draft", experimental=False),
        changed({"standing": "programme", "source": "a paper"}, status="active", experimental=True),
    ):
        with pytest.raises(Invalid):
            weights.load(broken, as_programme=True)
    assert weights.load(changed(title="The weights")).label == "The weights (demonstration)"


def with_attribute(code: str, **change: Any) -> list[dict[str, Any]]:
    return [each | (change if each["code"] == code else {}) for each in attributes().values()]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"attributes": with_attribute("infections", betas=[0, -0.2, -0.1, -0.3])}, "worse level"),
        ({"attributes": with_attribute("survival", betas=[0, -1, -2, -3])}, "palliation"),
        ({"attributes": with_attribute("infections", betas=[-0.1, -0.2, -0.3, -0.4])}, "first level"),
        ({"attributes": list(attributes().values())[:-1]}, "attributes must be"),
        ({"covariance": np.eye(3).tolist()}, "22 by 22"),
        ({"covariance": (-np.eye(22)).tolist()}, "eigenvalues"),
        ({"quality_of_life_after_death": 7}, "level of quality of life"),
        ({"palliation": "much"}, "does not fit"),
    ],
)
def test_a_broken_set_is_refused_with_what_is_wrong(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        weights.load(changed(document))


def test_a_library_without_readable_content_is_refused() -> None:
    with pytest.raises(Invalid, match="no content"):
        weights.load({**SHIPPED, "content": []})
    with pytest.raises(Invalid, match="base64"):
        weights.load({**SHIPPED, "content": [{"contentType": "application/json", "data": "###"}]})


def test_a_sites_own_programme_set_is_in_force_only_if_it_declares_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "libraries"
    folder.mkdir()
    monkeypatch.setattr(artefact, "PROFILES", tmp_path)
    weights.in_force.cache_clear()
    weights.demonstration.cache_clear()
    try:
        (folder / "treatment-success-demonstration.json").write_bytes(codec.encode(SHIPPED))
        assert weights.in_force().standing == "demonstration"
        weights.in_force.cache_clear()
        declared = changed({"standing": "programme", "source": "a paper"}, title="Weights", status="active", experimental=False)
        (folder / "treatment-success-programme.json").write_bytes(codec.encode(declared))
        assert (weights.in_force().standing, weights.in_force().label) == ("programme", "Weights")
        weights.in_force.cache_clear()
        (folder / "treatment-success-programme.json").write_bytes(codec.encode(SHIPPED))
        with pytest.raises(Invalid, match="cannot be called the programme's"):
            weights.in_force()
    finally:
        weights.in_force.cache_clear()
        weights.demonstration.cache_clear()
