"""The parents of the simulation: a mail server that receives their letters, and a browser of sorts that answers by the link."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from email import message_from_bytes
from typing import Any

import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.demo.nation import Child

PLAIN = ssl.create_default_context()  # made once: making one costs more than a parent's whole visit
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


async def answer(link: str, child: Child, answers: Mapping[str, str], *, limits: asyncio.Semaphore, look: bool) -> None:
    """Answer by the link, as a parent's browser would. With `look` every page is fetched; without, only those that must be sent.

    Raises RuntimeError where a page does not lead on.
    """
    async with limits, httpx.AsyncClient(follow_redirects=look, timeout=60, verify=PLAIN) as browser:
        base = link.partition("/follow-up/")[0]
        await browser.get(link)
        page = await browser.get(f"{base}/follow-up")
        found = TOKEN.search(page.text)
        if not found:
            raise RuntimeError("the first page of the link has no form")
        form = {"form_token": found[1]}
        born = {"day": str(child.born.day), "month": str(child.born.month), "year": str(child.born.year)}
        await _send(browser, f"{base}/follow-up", form | born)
        await _send(browser, f"{base}/follow-up/about", form | {"choice": "yes"})
        for number, value in enumerate(answers.values(), 1):
            await _send(browser, f"{base}/follow-up/question/{number}", form | {"answer": value})
        await _send(browser, f"{base}/follow-up/check", form)


async def _send(browser: httpx.AsyncClient, url: str, form: dict[str, str]) -> None:
    response = await browser.post(url, data=form)
    if response.status_code not in (200, 303):
        raise RuntimeError(f"{httpx.URL(url).path} answered {response.status_code}")


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
