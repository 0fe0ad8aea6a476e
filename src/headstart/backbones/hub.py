"""What of a Hugging Face hub repository lies on this machine."""

from __future__ import annotations

from pathlib import Path

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
    commit = hub_commit(repository)
    if commit is None:
        return []
    snapshot = _folder(repository) / "snapshots" / commit
    files = sorted(path for path in snapshot.rglob("*") if path.is_file())
    return [_reference(repository), *files] if files else []


def _reference(repository: str) -> Path:
    return _folder(repository) / "refs" / DEFAULT_REVISION


def _folder(repository: str) -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
