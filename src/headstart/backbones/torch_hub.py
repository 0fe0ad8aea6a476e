"""What of torch's own cache of downloaded weights lies on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlparse


def torch_hub_folder() -> Path:
    """Where torch keeps downloaded weights; found without importing torch, which takes seconds."""
    if "torch.hub" in sys.modules:
        return Path(sys.modules["torch.hub"].get_dir()) / "checkpoints"
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def torch_hub_files(url: str | None) -> list[Path]:
    """The file that a URL was downloaded to, if it is here."""
    path = torch_hub_folder() / os.path.basename(urlparse(url or "").path)
    return [path] if url and path.is_file() else []
