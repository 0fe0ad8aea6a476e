"""YAML as people mean it: of version 1.2, in which ``no``, ``on``, ``010``, ``1:30`` and a date are texts."""

from __future__ import annotations

import re
from typing import Any

import yaml

_CORE = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+|0o[0-7]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)


class Loader(yaml.SafeLoader):
    """Takes for truth values and numbers what is written as one, and nothing else."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - not those of version 1.1


for _tag, _pattern, _first in _CORE:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def load_yaml(text: str) -> Any:
    """The values of a YAML text.

    Raises
    ------
    yaml.YAMLError
        It is none.

    Examples
    --------
    >>> load_yaml("[no, on, 010, 10, true, 1.5, 2020-01-01]")
    ['no', 'on', '010', 10, True, 1.5, '2020-01-01']
    """
    return yaml.load(text, Loader=Loader)
