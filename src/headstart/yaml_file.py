"""YAML from a file that anybody may have made: read as data, and refused where it would not end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from headstart import trust
from headstart.errors import ConfigError

MOST_NODES = 100_000
"""That a document may have once each alias stands for what it repeats."""
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


class _Loader(yaml.SafeLoader):
    """YAML of version 1.2, in which ``no``, ``on``, ``010``, ``1:30`` and a date are texts: names stay as written."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - not those of version 1.1


for _tag, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read_yaml(path: Path, what: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a file and its values; code that a stranger's file names is not to be imported.

    Raises
    ------
    ConfigError
        It cannot be read, is no YAML, or repeats itself without bound.
    """
    try:
        content = path.read_bytes()
        node = parse_yaml(content.decode("utf-8-sig"))
    except yaml.MarkedYAMLError as error:
        raise _no_yaml(str(path), error) from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"cannot read the {what} {path}: {' '.join(str(error).split())}") from error
    values = values_of(node, str(path))
    if not trust.is_own(content):
        _refuse_trackers(values, path)
    trust.note(values, content, path)
    trust.remember(content, values)  # what a user has trusted once, as it is now, runs again without a word
    return node, values


def _refuse_trackers(values: Any, path: Path) -> None:
    """Refuse trackers that would write, or send, where a stranger's file says: only a folder below this one is safe."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            said = value.get("track") or []
            for spec in said if isinstance(said, list) else str(said).split(","):
                place = str(spec).strip().partition(":")[2]
                if place.startswith(("/", "~")) or ".." in place or "://" in place or ":/" in place:
                    raise ConfigError(
                        f"{path} would have figures written to {spec}, outside of this folder; if you want that, take "
                        "it out of the file and say it yourself, with --track or --set STEP.track=…"
                    )


def parse_yaml(text: str) -> yaml.Node | None:
    """The nodes of a text; an alias is the node that it repeats."""
    return yaml.compose(text, Loader=_Loader)


def values_of(node: yaml.Node | None, place: str) -> Any:
    """The values of nodes whose number is bounded, however often aliases repeat them; ``place`` is for messages."""
    if node is None:
        return None
    try:
        size = _size_of(node, {}, place)
    except RecursionError as error:
        raise ConfigError(f"{place} is nested too deeply to be read") from error
    if size > MOST_NODES:
        raise ConfigError(
            f"{place} has {size:,} values once its aliases are written out, and at most {MOST_NODES:,} are read; "
            "write what it says without them"
        )
    try:
        return _Loader("").construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _no_yaml(place, error) from error
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise ConfigError(f"{place} has a value that cannot be read: {error}") from error


def _no_yaml(place: str, error: yaml.MarkedYAMLError) -> ConfigError:
    line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
    return ConfigError(f"{place}{line}: this is no YAML ({error.problem})")


def _size_of(node: yaml.Node, known: dict[int, int], place: str) -> int:
    """How many nodes a node is with all that it repeats; each is counted once, and 0 while it is being counted."""
    if id(node) in known:
        if not known[id(node)]:
            line = node.start_mark.line + 1
            raise ConfigError(f"{place}, line {line}: this holds itself, so that it has no end")
        return known[id(node)]
    known[id(node)] = 0
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    known[id(node)] = 1 + sum(_size_of(part, known, place) for part in parts)
    return known[id(node)]
