"""What of a model lies on this machine: its copy on the hub, torch's downloads; one clear line if it cannot be had."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from headstart.errors import BackboneError, HeadstartError, WeightsUnavailableError, first_line
from headstart.places import expanded

DEFAULT_REVISION = "main"


def hub_commit(repository: str) -> str | None:
    """The commit that this machine's copy of a repository stands at; None if there is no copy."""
    reference = _reference(repository)
    try:
        return reference.read_text("ascii").strip() or None
    except OSError:
        return None


def hub_files(repository: str) -> list[Path]:
    """The files of the copy, and the reference that says which commit it is; empty without one."""
    snapshot = hub_folder(repository)
    if snapshot is None:
        return []
    files = sorted(path for path in snapshot.rglob("*") if path.is_file())
    return [_reference(repository), *files] if files else []


def hub_folder(repository: str) -> Path | None:
    """The folder that holds the files of the copy; None if there is no copy."""
    commit = hub_commit(repository)
    return None if commit is None else _folder(repository) / "snapshots" / commit


def fetch_file(repository: str, name: str) -> None:
    """Bring a file of a repository, if there is such a file.

    What the copy knows (that the file is here, or that there is none) is not asked again.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    commit = hub_commit(repository)
    if commit is not None and try_to_load_from_cache(repository, name, revision=commit) is not None:
        return
    try:
        hf_hub_download(repository, name, revision=commit)
    except LocalEntryNotFoundError:  # a child of the next: nobody could be asked
        raise
    except EntryNotFoundError:
        return


def is_offline() -> bool:
    """Whether the user's environment forbids the hub (``HF_HUB_OFFLINE``)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _reference(repository: str) -> Path:
    return _folder(repository) / "refs" / DEFAULT_REVISION


def _folder(repository: str) -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def torch_hub_folder() -> Path:
    """Where torch keeps downloaded weights; found without importing torch, which takes seconds."""
    if "torch.hub" in sys.modules:
        return Path(sys.modules["torch.hub"].get_dir()) / "checkpoints"
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(expanded(home)) / "hub" / "checkpoints"


def torch_hub_files(url: str | None) -> list[Path]:
    """The file that a URL was downloaded to, if it is here."""
    path = torch_hub_folder() / os.path.basename(urlparse(url or "").path)
    return [path] if url and path.is_file() else []


@contextlib.contextmanager
def loading_failures(spec: str, offline: bool, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises while it loads into a `BackboneError`.

    ``spec``: what was to be loaded; ``offline``: whether the network was forbidden; ``remedy``: what the user
    can do.
    """
    try:
        yield
    except HeadstartError:
        raise
    except Exception as error:
        reason = first_line(error).rstrip(".")
        if offline:
            reason = f"--offline was given, and it is not on this machine ({reason})"
        absent = offline or not isinstance(
            error, RuntimeError | ValueError | TypeError | KeyError | AssertionError
        )
        kind = WeightsUnavailableError if absent else BackboneError
        raise kind(f"{spec} cannot be loaded: {reason}; {remedy}") from error
