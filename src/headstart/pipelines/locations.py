"""Where pipelines lie: those of the user, and those that come with headstart."""

from __future__ import annotations

from pathlib import Path

from headstart.errors import ConfigError
from headstart.options import nearest

FOLDER, SUFFIX = "pipelines", ".yaml"


def shipped_pipelines() -> dict[str, Path]:
    """Those that come with headstart, by name: from the installed package or the checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "shipped" / FOLDER, package.parents[1] / FOLDER):
        if found := sorted(folder.glob(f"*{SUFFIX}")):
            return {path.stem: path for path in found}
    return {}


def find_pipeline(said: str) -> Path:
    """The file that is meant: a path, or the name of a pipeline that comes with headstart.

    ``pipelines/NAME.yaml`` means the one that comes with headstart where no such file is there.

    Raises
    ------
    ConfigError
        There is neither; the message names the nearest.
    """
    path, shipped = Path(said).expanduser(), shipped_pipelines()
    if path.is_file():
        return path
    is_plain = path.parent in (Path(), Path(FOLDER))
    name = path.name.removesuffix(SUFFIX)
    if is_plain and name in shipped:
        return shipped[name]
    near = nearest(name, list(shipped))
    hint = f"did you mean {near}?" if near else f"those that come with headstart: {', '.join(shipped)}"
    raise ConfigError(f"there is no pipeline {said}; {hint}")
