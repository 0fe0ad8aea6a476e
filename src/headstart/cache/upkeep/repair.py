"""What `cache verify --repair` does about each thing that is wrong.

Nothing is deleted: what is corrupt goes to the trash. What may be moved concurrently is moved first and
judged again where it lies then, so that a good file that took the bad one's place in between is put back.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cache.commit import turn
from headstart.cache.digests import DigestCheck
from headstart.cache.formats import open_shard
from headstart.cache.layout import SHARD_NAME, STATE_NAME
from headstart.cache.recipe import Recipe
from headstart.cache.upkeep.checks import check_shard, check_state
from headstart.errors import FormatError, HeadstartError
from headstart.files import PARTIAL, storage_errors, write_durably, write_json

if TYPE_CHECKING:
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.cache.upkeep.trash import Trash

BEING_MADE = 120.0  # seconds for which a folder without a recipe may be one that is just being made


def drop_shard(space: Space, name: str, trash: Trash) -> str:
    """Take a corrupt shard out of its space; say what was done."""
    path = space.shards_dir / name
    try:
        moved = trash.take(path)
    except FileNotFoundError:
        return "it is gone"
    if check_shard(moved, space.recipe.canonical, space.shards.digests).verdict == "sound":
        # Names are digests: another writer has just committed the rows anew, and that file was moved.
        os.replace(moved, path)
        return "another process wrote it anew"
    return "moved to the trash; the next extract computes its rows"


def mend_recipe(space: Path, trash: Trash) -> str | None:
    """Write ``recipe.json`` from what a sound shard carries; without one, the space is of no use."""
    names = sorted(path.name for path in (space / "shards").glob("*") if SHARD_NAME.fullmatch(path.name))
    is_newer = False
    for name in names:
        try:
            recipe = _recipe_of(space / "shards" / name)
        except FormatError:
            is_newer = True
            continue
        if recipe is not None and recipe.id == space.name:
            write_json(space / "recipe.json", dict(recipe.entries))
            return "recipe.json written again from what a shard carries"
    if is_newer or _may_be_being_made(space):
        return None
    with contextlib.suppress(FileNotFoundError):
        trash.take(space)
    return "no sound shard of it; moved to the trash"


def drop_state(cache: Cache, folder: Path, digest: str, trash: Trash) -> str | None:
    """Take a broken state of a set out, and put an earlier one in force if it was in force."""
    with storage_errors(folder / "current"), turn(folder):
        if check_state(cache, folder, digest)[0] != "corrupt":
            return "another process wrote it anew"
        with contextlib.suppress(FileNotFoundError):
            trash.take(folder / digest)
        if in_force(folder) != digest:
            return "moved to the trash"
        return _fall_back(cache, folder, trash)


def mend_current(cache: Cache, folder: Path, trash: Trash) -> str | None:
    """Put a state in force where ``current`` names none that is there."""
    with storage_errors(folder / "current"), turn(folder):
        digest = in_force(folder)
        if digest and STATE_NAME.fullmatch(digest) and (folder / digest).is_dir():
            return "another process wrote it anew"
        return _fall_back(cache, folder, trash)


def _fall_back(cache: Cache, folder: Path, trash: Trash) -> str | None:
    sound: list[tuple[str, str]] = []
    for path in folder.iterdir():
        verdict = check_state(cache, folder, path.name)[0] if STATE_NAME.fullmatch(path.name) else "gone"
        if verdict == "newer":
            return None  # what a later version knows to be in force, this one does not judge
        if verdict == "sound":
            sound.append((_created(path), path.name))
    if sound:
        digest = max(sound)[1]
        write_durably(folder / "current", digest.encode("ascii") + b"\n")
        return f"its newest sound state {digest} is in force again"
    with contextlib.suppress(FileNotFoundError):
        if any(path.name.endswith(PARTIAL) for path in folder.iterdir()):
            trash.take(folder / "current")  # somebody is committing: the folder stays for them
        else:
            trash.take(folder)
    return "no sound state of it; moved to the trash"


def _recipe_of(path: Path) -> Recipe | None:
    """The recipe that a sound shard carries."""
    try:
        carried = open_shard(path).recipe
        if check_shard(path, carried, DigestCheck()).verdict != "sound":
            return None
        recipe = Recipe(json.loads(carried))
        return recipe if recipe.canonical == carried else None
    except FormatError:
        raise
    except (HeadstartError, OSError, ValueError, TypeError):
        return None


def _may_be_being_made(space: Path) -> bool:
    """Whether a writer may have made the folder just now, and be about to write its recipe."""
    try:
        if (space / "recipe.json").exists():
            return False
        return abs(time.time() - space.stat().st_mtime) < BEING_MADE
    except OSError:
        return True


def in_force(folder: Path) -> str | None:
    """The digest that a set's ``current`` names, whether there is such a state or not."""
    try:
        return (folder / "current").read_text("utf-8").strip()
    except (OSError, ValueError):
        return None


def _created(state: Path) -> str:
    """When a state was made, in a form that sorts."""
    try:
        return str(json.loads((state / "set.json").read_bytes())["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
