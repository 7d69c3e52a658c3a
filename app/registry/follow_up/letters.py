"""What a letter says. It names no child, no condition and no hospital: a phone may be read by others."""

from email.mime.text import MIMEText
from email.utils import format_datetime

from app import clock

SUBJECT = "A few questions about how your child is doing"
REMINDER_SUBJECT = "Reminder: a few questions about how your child is doing"
TEXT = """Hello,

Your child had an operation. We would like to know how your child is doing now.
Your answers help hospitals to give better care to children.

There are a few short questions. They take about five minutes.

Open this link on your phone or computer:

{link}

You do not have to answer. On the first page you can also tell us not to write again.

Children's Surgery Outcome Reporting (demonstration)
"""


def letter(to: str, sender: str, link: str, key: str, *, reminder: bool) -> MIMEText:
    """The e-mail. `key` is the outbox key: the Message-ID is the same however often the letter is tried."""
    message = MIMEText(TEXT.format(link=link), "plain", "us-ascii")
    message["From"] = sender
    message["To"] = to
    message["Subject"] = REMINDER_SUBJECT if reminder else SUBJECT
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    return message
