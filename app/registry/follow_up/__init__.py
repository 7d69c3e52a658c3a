"""Parents' follow-up: when they are asked, what consent covers, the letters, the links, and their answers.

Invariants: nothing is sent about a child who has died or whose parent said no, judged at the moment of sending; a letter names no child and no
condition; a link opens one Task, is kept only as a hash, and is used once; answers, score level, consent and Task change in one commit.
"""

from typing import Any

from app.store.protocol import Store


def services(store: Store, smtp_url: str, sender: str, pages: str) -> list[Any]:
    """The background work: letters made and, where a mail server is named, sent. `pages` is the public root URL of the links."""
    from app.registry.follow_up.outbox import FollowUpService, Post

    return [FollowUpService(store, Post(smtp_url, sender, pages) if smtp_url else None)]
