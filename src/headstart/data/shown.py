"""What people see of a sample's content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.data.sentences import Words

if TYPE_CHECKING:
    from headstart.types import Payload

SOON_READ = 100_000
"""Samples of a set whose data is read again to be shown without being asked for."""


def text_of(payload: Payload | None) -> str:
    """The texts of a sample with a bar between them; nothing of an image."""
    if isinstance(payload, Words):
        return payload.text
    if isinstance(payload, tuple):
        return " | ".join(part for part in payload if isinstance(part, str))
    return payload if isinstance(payload, str) else ""


def shown_text(payload: Payload | None, longest: int) -> str:
    """The same, cut at so many letters.

    Examples
    --------
    >>> shown_text(("a question", "its context"), 80), shown_text("a long text", 7), shown_text(b"pixels", 80)
    ('a question | its context', 'a long…', '')
    """
    text = text_of(payload)
    return text if len(text) <= longest else text[: longest - 1] + "…"
