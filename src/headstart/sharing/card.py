"""The data set card of a repository that holds a cache: what is in it, and how to get it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.backbones.pooling import display_tap
from headstart.sharing.place import SET_FILE
from headstart.types import SPLITS

if TYPE_CHECKING:
    from headstart.sharing.place import OutgoingState
    from headstart.types import Json

HEAD = """---
tags:
- headstart
- features
viewer: false
---

# {repository}

Features of frozen backbones, kept by [headstart](https://pypi.org/project/headstart/): heads are fitted on them without
running a backbone.
"""


def with_card(content: bytes | None, repository: str, state: OutgoingState) -> str:
    """The card of a repository with the section of one set as it is now; the rest stays as it is."""
    text = HEAD.format(repository=repository) if content is None else content.decode("utf-8", "replace")
    begin, end = f"<!-- headstart set {state.name} -->", f"<!-- end of headstart set {state.name} -->"
    section = f"{begin}\n{_section(repository, state)}\n{end}"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if found.search(text):
        return found.sub(lambda _: section, text, count=1)
    return f"{text.rstrip()}\n\n{section}\n"


def _section(repository: str, state: OutgoingState) -> str:
    return "\n".join(_lines(repository, state.name, _info(state)))


def _lines(repository: str, name: str, info: Json) -> Iterator[str]:
    counts = info["counts"]
    splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts.get(split))
    yield f"## {name}\n"
    yield f"{counts['samples']:,} samples{f' ({splits})' if splits else ''}"
    for column, names in info["labels"].items():
        said = f"{len(names):,} classes" if names else info.get("label_kinds", {}).get(column, "single")
        yield f"- label `{column}`: {said}"
    yield "\n| backbone | tap | view | recipe |\n|---|---|---|---|"
    for entry in info["features"]:
        tap, view = display_tap(entry["tap"]), entry.get("view") or "–"
        yield f"| `{entry['backbone']}` | {tap} | {view} | `{entry['space']}` |"
    yield f"\n```console\nheadstart cache pull hf:{repository} {name}\n```"


def _info(state: OutgoingState) -> Json:
    """What ``set.json`` says."""
    file = next(file for file in state.files if file.path.endswith(f"/{SET_FILE}"))
    return json.loads(file.content.read_bytes() if isinstance(file.content, Path) else file.content)
