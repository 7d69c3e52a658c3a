"""The parents of the simulation: a browser of sorts that answers by the link of a letter."""

import re
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from app.demo.nation import Child

TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


class Phone:
    """One browser: a connection that is kept, and its cookies. The standard library's client costs a fifth of a full one's."""

    def __init__(self, base: str) -> None:
        self._connection = HTTPConnection(urlsplit(base).netloc, timeout=60)
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of the page at `path`."""
        status, _, text = self._ask("GET", path, None)
        return status, text

    def send(self, path: str, form: Mapping[str, str], *, look: bool) -> None:
        """Send a form; with `look` also fetch the page that it leads to. Raises RuntimeError where it does not lead on."""
        status, leads_to, _ = self._ask("POST", path, urlencode(form))
        if status != 303:
            raise RuntimeError(f"{path} answered {status}")
        if look:
            self.get(leads_to)

    def close(self) -> None:
        """Put it down."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str, str]:
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        for cookie in response.headers.get_all("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return response.status, response.headers.get("location", ""), text


def answer(base: str, path: str, child: Child, answers: Mapping[str, str], look: bool) -> bool:
    """Answer by the link at `path`, as a parent's phone would; blocks, so run it in a thread. With `look` every page is fetched.

    False where the link is closed: an earlier run has answered by it. Raises RuntimeError where a page does not lead on.
    """
    phone = Phone(base)
    try:
        phone.get(path)
        status, text = phone.get("/follow-up")
        if status == 404:
            return False
        found = TOKEN.search(text)
        if not found:
            raise RuntimeError("the first page of the link has no form")
        form = {"form_token": found[1]}
        born = {"day": str(child.born.day), "month": str(child.born.month), "year": str(child.born.year)}
        phone.send("/follow-up", form | born, look=look)
        phone.send("/follow-up/about", form | {"choice": "yes"}, look=look)
        for number, value in enumerate(answers.values(), 1):
            phone.send(f"/follow-up/question/{number}", form | {"answer": value}, look=look)
        phone.send("/follow-up/check", form, look=look)
        return True
    finally:
        phone.close()


def choices(questionnaire: Mapping[str, Any], total: int) -> dict[str, str]:
    """Answers by linkId whose ordinal values add up to `total`; free text is left empty."""
    chosen: dict[str, str] = {}
    left = total
    for item in questionnaire["item"]:
        options = item.get("answerOption", ())
        if not options:
            chosen[item["linkId"]] = ""
            continue
        ranked = {int(o["valueCoding"]["extension"][0]["valueDecimal"]): o["valueCoding"]["code"] for o in options}
        take = min(left, max(ranked))
        chosen[item["linkId"]] = ranked[take]
        left -= take
    return chosen
