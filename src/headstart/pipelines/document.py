"""A pipeline's file as written: its values, and the line that each stands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headstart.errors import ConfigError
from headstart.options import nearest
from headstart.yaml_file import parse_yaml, read_yaml, values_of

Names = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """Values with their places, by the names that lead there: ``line 12``, or the ``--set`` that they came by."""

    path: Path
    values: dict[str, Any]
    places: dict[Names, str]

    def place(self, *names: str) -> str:
        """Where something stands, or what it would stand in."""
        for end in range(len(names), 0, -1):
            if found := self.places.get(names[:end]):
                return found if found.startswith("--set") else f"{self.path}, {found}"
        return str(self.path)

    def error(self, message: str, *names: str) -> ConfigError:
        """A mistake, with its place in front."""
        return ConfigError(f"{self.place(*names)}: {message}")


def read_document(path: Path) -> Document:
    """Read a YAML file whose names are texts, each given once.

    Raises
    ------
    ConfigError
        It cannot be read, is no mapping, or says a name twice; with the line.
    """
    root, values = read_yaml(path, "pipeline")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is no pipeline: expected names and values, such as steps:")
    document = Document(path, values, {})
    _walk(root, (), document)
    return document


def _walk(node: yaml.Node | None, names: Names, document: Document) -> None:
    """Remember lines; YAML itself would take the last of two equal names and say nothing."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.tag != "tag:yaml.org,2002:str":
            raise ConfigError(f"{document.path}, line {line}: the name {name!r} is no text; put it in quotes")
        if (*names, name) in document.places:
            raise ConfigError(f"{document.path}, line {line}: {name!r} is given twice; keep one")
        document.places[(*names, name)] = f"line {line}"
        _walk(value, (*names, name), document)


def change(document: Document, changes: Sequence[str], verbs: Sequence[str]) -> None:
    """Apply ``--set`` options, in their order and in place: each is ``PATH=VALUE``, names with dots between, and YAML.

    A path is ``steps.NAME.option``, ``VERB.option`` for all steps of a verb, ``data`` or ``data.option``, or ``name``.

    Raises
    ------
    ConfigError
        One is not written like that, or leads nowhere.
    """
    for text in changes:
        path, equals, written = text.partition("=")
        names = tuple(path.strip().split("."))
        if not equals or not all(names):
            raise ConfigError(f"--set takes PATH=VALUE, e.g. --set steps.full.epochs=3 (got {text!r})")
        try:
            value = values_of(parse_yaml(written), f"--set {path}")
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"--set {text}: {written!r} is no YAML") from error
        for target in _targets(document, names, text, verbs):
            _put(document, target, value, text)


def _targets(document: Document, names: Names, text: str, verbs: Sequence[str]) -> list[Names]:
    """The full names that a path of ``--set`` means."""
    first, *rest = names
    steps = document.values.get("steps")
    known = steps if isinstance(steps, dict) else {}
    if first in verbs:
        found = [name for name, step in known.items() if isinstance(step, dict) and first in step]
        if not found or not rest:
            what = "names no option" if found else f"there is no {first} step"
            raise ConfigError(f"--set {text}: {what}; the steps are {', '.join(known)}")
        return [("steps", name, first, *rest) for name in found]
    if first == "steps":
        return [_step_target(known, names, text)]
    if first not in ("name", "about", "data"):
        where = f"steps.{first}" if first in known else nearest(first, ["name", "data", "steps", *verbs])
        raise ConfigError(
            f"--set {text}: there is no {first!r}{f', did you mean {where}?' if where else ''}; a path begins with "
            "data, steps.NAME or a command such as extract"
        )
    return [names]


def _step_target(known: Mapping[str, Any], names: Names, text: str) -> Names:
    if len(names) < 3 or names[1] not in known:
        name = names[1] if len(names) > 1 else ""
        where = nearest(name, list(known)) if name not in known else None
        hint = f", did you mean {where}?" if where else ""
        what = "names no option" if name in known else f"there is no step {name!r}{hint}"
        raise ConfigError(f"--set {text}: {what}; write steps.NAME.option, of {', '.join(known)}")
    step = known[names[1]]
    verb = next(iter(step), "") if isinstance(step, dict) else ""
    rest = names[3:] if names[2] == verb else names[2:]
    if not rest:
        raise ConfigError(f"--set {text}: names no option of {names[1]}; write steps.{names[1]}.option=value")
    return ("steps", names[1], verb, *rest)


def _put(document: Document, names: Names, value: Any, text: str) -> None:
    if names[0] == "data" and len(names) > 1 and isinstance(document.values.get("data"), str):
        document.values["data"] = {"path": document.values["data"]}
    place: dict[str, Any] = document.values
    for name in names[:-1]:
        if place.get(name) is None:
            place[name] = {}
        if not isinstance(place[name], dict):
            raise ConfigError(f"--set {text}: {name} is {place[name]!r} and has no {names[-1]!r} in it")
        place = place[name]
    place[names[-1]] = value
    # What lay below the new value is gone, and the lines of it with it.
    for below in [known for known in document.places if known[: len(names)] == names]:
        del document.places[below]
    document.places[names] = f"--set {text}"
