"""Texts of every kind: lines that people wrote, and what tokenizers stumble over, mixed by a seed."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

WRITTEN = ("argparse", "_pydecimal", "tarfile", "subprocess", "locale")  # of the standard library
ODD = (
    "", " ", "\t", "\n\n", "\r\n", "   ", "\x00", "\x07", "\u00ad", "\u200b", "\ufeff", "\ufffd", "\ue000",
    "\U0010ffff", "\U0001f642", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f",
    "\U0001f44d\U0001f3fd", "1\ufe0f\u20e3", "e\u0301", "a\u0308\u0323", "\u0301", "ﬁ ﬂ", "Ⅷ ½ ™",
    "\uff26\uff35\uff2c\uff2c\u3000\uff57", "𝒽𝑒𝓁𝓁𝑜", "שָׁלוֹם עולם", "مرحبا بالعالم", "\u202etfel\u202c",
    "東京タワー", "한국어", "ภาษาไทย", "हिन्दी", "İıſß",
    "naïve façade", "don't we'll I'd", "1234567890", "3.14e-10", "https://x.org/?q=a%20b#c", "me@example.com",
    "[CLS]", "[MASK]", "[mask]", "a[SEP]b", "<s>", "</s>", "<mask>", "<pad>", "<unk>", "<|endoftext|>",
    "<|startoftext|>", "<extra_id_0>", "|||IP_ADDRESS|||", "▁", "##ing", "Ġ", "x" * 300,
)  # fmt: skip
BROKEN = ("\ud800", "a\udfffb", "word " * 200 + "\udfff", "word " * 2000 + "\ud800")
"""Half a character, alone, between others, and behind what is read of a long text."""


@cache
def written_lines() -> list[str]:
    """Lines that people wrote, in their order."""
    folder = Path(random.__file__).parent
    files = [(folder / f"{name}.py").read_text("utf-8") for name in WRITTEN]
    return [line.strip() for text in files for line in text.splitlines() if line.strip()]


def many_texts(n: int, seed: int = 0) -> list[str]:
    """So many texts, the odd ones alone first: short and long, plain and mixed."""
    draw = random.Random(seed)
    return [*ODD, *(_drawn(draw) for _ in range(n - len(ODD)))][:n]


def _drawn(draw: random.Random) -> str:
    parts = draw.choices(written_lines(), k=draw.choice([1, 1, 1, 2, 3, 8, 40]))
    if draw.random() < 0.5:
        parts.insert(draw.randrange(len(parts) + 1), draw.choice(ODD))
    text = draw.choice([" ", " ", "", "\n", "  "]).join(parts)
    if draw.random() < 0.01:
        text *= draw.randrange(2, 60)
    return draw.choice([str, str, str, str.upper, str.title])(text)
