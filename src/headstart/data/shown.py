"""What people see of a sample's content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.data.sentences import Words

if TYPE_CHECKING:
    from headstart.types import Payload


def shown_text(payload: Payload | None, longest: int) -> str:
    """The texts of a sample with a bar between them, cut at so many letters; nothing of an image.

    Examples
    --------
    >>> shown_text(("a question", "its context"), 80), shown_text("a long text", 7), shown_text(b"pixels", 80)
    ('a question | its context', 'a long…', '')
    """
    if isinstance(payload, Words):
        text = payload.text
    elif isinstance(payload, tuple):
        text = " | ".join(part for part in payload if isinstance(part, str))
    else:
        text = payload if isinstance(payload, str) else ""
    return text if len(text) <= longest else text[: longest - 1] + "…"
