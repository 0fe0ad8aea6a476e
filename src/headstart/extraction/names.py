"""What a set is called when nobody says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from headstart.backbones import short_name
from headstart.cache.layout import check_set_name, set_name_from

_NUMBERS = re.compile(r"[-_.]?\{[^{}]*\}")  # the braces of a pattern of tars


def set_name(asked: str | None, data: Any, *backbones: str) -> str:
    """The name that was asked for, else one after the data and the backbones.

    Raises
    ------
    ConfigError
        The name that was asked for cannot be a set's.

    Examples
    --------
    >>> set_name(None, "hf:PolyAI/banking77", "timm:resnet50.a1_in1k")
    'banking77-resnet50.a1_in1k'
    >>> set_name(None, "data/train-{000..012}.tar", "timm:resnet50")
    'train-resnet50'
    """
    if asked:
        return check_set_name(asked)
    if isinstance(data, str) and data.startswith("hf:"):
        stem = short_name(data)
    elif isinstance(data, str | os.PathLike):
        path = Path(data).resolve()
        stem = path.name if path.is_dir() else path.stem
        stem = _NUMBERS.sub("", stem)
    else:
        stem = "samples"
    return set_name_from("-".join([stem, *map(short_name, backbones)]))
