"""From a URL to a store: what cannot be meant is refused with a sentence, and no sentence shows a password."""

import pytest

from app.fhir.errors import FHIRError, NotSupported
from app.store.open import open_store, public_url

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb:/user:{SECRET}@host/csor",
        f"mongodb//u:{SECRET}@h/csor",
        f"u:{SECRET}@h/csor",
        f"u:{SECRET}://h",
        f"{SECRET}",
        f"postgres://u:{SECRET}@h/csor",
        "sqlite:/tmp/x.db",
        "sqlite:///",
    ],
)
def test_a_url_of_no_store_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(NotSupported) as raised:
        open_store(url)
    assert SECRET not in str(raised.value) and "sqlite:///path/to/file.db" in str(raised.value)


def test_a_path_with_a_slash_too_few_is_told_both_ways_it_may_be_meant() -> None:
    with pytest.raises(NotSupported, match=r"sqlite:///tmp/x\.db from here, or sqlite:////tmp/x\.db from the root"):
        open_store("sqlite://tmp/x.db")


@pytest.mark.parametrize(
    "password",
    ["hun?ter2", "hun?x=ter2", "hun?tls=true&ter2", "hun#ter2", "hun[ter2", "hun]ter2", "hun/ter2", "123?ter2", "hun@ter2"],
)
async def test_a_password_that_is_not_percent_encoded_is_never_shown(password: str, recwarn: pytest.WarningsRecorder) -> None:
    url = f"mongodb://u:{password}@127.0.0.1:1/csor?replicaSet=rs0&serverSelectionTimeoutMS=100"
    assert public_url(url) == "mongodb://…"
    with pytest.raises(FHIRError, match="percent-encoded") as raised:
        await open_store(url).open()
    assert "hun" not in str(raised.value) and "ter2" not in str(raised.value) and not recwarn.list


@pytest.mark.parametrize("option", ["replicaset_=x", "connectTimeoutMS=soon", "tlss=true"])
async def test_an_option_that_the_driver_cannot_use_is_refused(option: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(FHIRError, match="options that its driver can use"):
        await open_store(f"mongodb://127.0.0.1:1/csor?{option}&serverSelectionTimeoutMS=100").open()
    assert not recwarn.list


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://[::1]:27017,h:2/csor?replicaSet=x", "mongodb://[::1]:27017,h:2/csor"),
        (f"mongodb+srv://u:{SECRET}@h.example/csor", "mongodb+srv://h.example/csor"),
        (f"mongodb://u:{SECRET}@%2Ftmp%2Fmongodb.sock", "mongodb://%2Ftmp%2Fmongodb.sock"),
        (f"http://u:{SECRET}@host:8000/fhir", "http://host:8000/fhir"),
        ("sqlite:////srv/csor.db", "sqlite:////srv/csor.db"),
    ],
)
def test_a_url_is_shown_by_its_hosts_and_path(url: str, shown: str) -> None:
    assert public_url(url) == shown
