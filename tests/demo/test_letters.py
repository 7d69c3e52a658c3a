"""The parents' letters outlive the run in which they came."""

import asyncio
import smtplib
from email.mime.text import MIMEText
from pathlib import Path

from app.demo.letters import Letters


async def read(mail: Letters) -> list[tuple[str, str]]:
    mail.no_more()
    return [letter async for letter in mail]


def post(mail: Letters, to: str, text: str) -> None:
    message = MIMEText(text, "plain", "us-ascii")
    message["From"], message["To"] = "csor@example.org", to
    host, port = mail.url.removeprefix("smtp://").split(":")
    with smtplib.SMTP(host, int(port)) as connection:
        connection.send_message(message)


async def test_a_letter_is_kept_before_it_is_acknowledged_and_found_by_the_next_run(tmp_path: Path) -> None:
    sent = [(f"parent-{n}@parents.example.org", f"/follow-up/parent_{n}") for n in range(3)]
    async with Letters(tmp_path / "letters") as mail:
        for address, path in sent:
            await asyncio.to_thread(post, mail, address, f"Open this link:\n\nhttp://127.0.0.1:1{path}\n\n")
        assert len(list((tmp_path / "letters" / "new").iterdir())) == 3
        assert await read(mail) == sent
    async with Letters(tmp_path / "letters") as mail:
        assert await read(mail) == sent, "the path alone: the next server may listen elsewhere"


async def test_a_letter_without_a_link_is_kept_and_not_followed(tmp_path: Path) -> None:
    async with Letters(tmp_path / "letters") as mail:
        await asyncio.to_thread(post, mail, "parent@parents.example.org", "No link here.")
        assert await read(mail) == []
    assert len(list((tmp_path / "letters" / "new").iterdir())) == 1
