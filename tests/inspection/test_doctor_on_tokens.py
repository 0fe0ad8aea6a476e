"""doctor on features that are all positions of a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.api import doctor, extract
from headstart.inspection.doctor import _compared


def test_token_features_are_examined(tiny_bert: Path, cache_root: Path) -> None:
    texts = ["red", "a blue hat", "green and long words here", "tan"]
    path = cache_root.parent / "texts.csv"
    path.write_text("\n".join(["text", *texts]))
    given = {"backbone": f"hf:{tiny_bert}", "taps": ["last.tokens"], "set": "tokens", "quiet": True}
    extract(path, cache=cache_root, **given)
    [found] = doctor("tokens", cache=str(cache_root))
    assert found.healthy
    assert found.n == 4
    assert found.cosine_min > 0.999


def test_other_numbers_of_tokens_are_nothing_alike() -> None:
    assert _compared(np.ones((3, 2)), np.ones((4, 2))) == (0.0, 1.0)
    cosine, error = _compared(np.ones((3, 2)), np.ones((3, 2)))
    assert (round(cosine, 9), error) == (1.0, 0.0)
