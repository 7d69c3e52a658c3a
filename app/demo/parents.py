"""The parents of the simulation: a mail server that receives their letters, and a browser of sorts that answers by the link."""

import asyncio
import re
from collections.abc import Mapping
from email import message_from_bytes
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiosmtpd.smtp import SMTP, Envelope, Session

from app.demo.nation import Child

LINK = re.compile(r"https?://\S+/follow-up/\S+")
TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


class Inbox:
    """A real SMTP server on loopback; each letter's link lands in `letters` under its address."""

    def __init__(self) -> None:
        self.letters: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.count = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Inbox":
        self._server = await asyncio.get_running_loop().create_server(lambda: SMTP(self), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        """For `CSOR_SMTP_URL`."""
        assert self._server is not None
        return f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Called by the mail server for each letter."""
        assert isinstance(envelope.content, bytes)
        text = message_from_bytes(envelope.content).get_payload(decode=True)
        assert isinstance(text, bytes)
        found = LINK.search(text.decode())
        self.count += 1
        if found:
            self.letters.put_nowait((envelope.rcpt_tos[0], found[0]))
        return "250 taken"


class Phone:
    """One browser: a connection that is kept, and its cookies. The standard library's client costs a fifth of a full one's."""

    def __init__(self, link: str) -> None:
        parts = urlsplit(link)
        self._connection = HTTPConnection(parts.netloc, timeout=60)
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> str:
        """The page at `path`."""
        return self._ask("GET", path, None)[2]

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


def answer(link: str, child: Child, answers: Mapping[str, str], look: bool) -> None:
    """Answer by the link, as a parent's phone would; blocks, so run it in a thread. With `look` every page is fetched.

    Raises RuntimeError where a page does not lead on.
    """
    phone = Phone(link)
    try:
        phone.get(urlsplit(link).path)
        found = TOKEN.search(phone.get("/follow-up"))
        if not found:
            raise RuntimeError("the first page of the link has no form")
        form = {"form_token": found[1]}
        born = {"day": str(child.born.day), "month": str(child.born.month), "year": str(child.born.year)}
        phone.send("/follow-up", form | born, look=look)
        phone.send("/follow-up/about", form | {"choice": "yes"}, look=look)
        for number, value in enumerate(answers.values(), 1):
            phone.send(f"/follow-up/question/{number}", form | {"answer": value}, look=look)
        phone.send("/follow-up/check", form, look=look)
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
