"""The parents' letters: a real mail server on loopback that keeps each letter in a maildir before it says 250.

So no letter is lost between two runs: what came in an earlier one is found in the same place as what comes now.
"""

import asyncio
import mailbox
import re
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

from aiosmtpd.smtp import SMTP, Envelope, Session

LINK = re.compile(r"https?://\S+/follow-up/\S+")


class Letters:
    """Iterate for (address, path of the link), letters of earlier runs first, in the order in which they came, until `no_more()`."""

    def __init__(self, directory: Path) -> None:
        self._box = mailbox.Maildir(directory, create=True)
        self._unread: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Letters":
        for key in sorted(self._box.keys()):
            self._lay_out(self._box[key])
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
        await asyncio.to_thread(self._box.add, envelope.content)
        self._lay_out(message_from_bytes(envelope.content))
        return "250 taken"

    async def __aiter__(self) -> AsyncIterator[tuple[str, str]]:
        while letter := await self._unread.get():
            yield letter

    def no_more(self) -> None:
        """Let the reader come to an end."""
        self._unread.put_nowait(None)

    def _lay_out(self, letter: Message) -> None:
        text = letter.get_payload(decode=True)
        if isinstance(text, bytes) and (found := LINK.search(text.decode())):
            self._unread.put_nowait((str(letter["To"]), urlsplit(found[0]).path))
