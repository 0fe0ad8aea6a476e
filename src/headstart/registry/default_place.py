"""Where a run goes if nobody says it: ``runs/<set>-<head>``, unless a run of other options lies there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones import short_name
from headstart.cache.layout import set_name_from
from headstart.errors import HeadstartError
from headstart.files import read_json
from headstart.registry.run_files import state_folder
from headstart.yaml_file import read_yaml

if TYPE_CHECKING:
    from headstart.config import Config
    from headstart.types import Json

ROOT = Path("runs")
BARE = ("label", "tap", "backbone")
"""Options whose values say enough without their names."""
FILES = ("corrections",)
"""Options that name files, of which the last part says enough."""
NO_DIFFERENCE = (
    "cache", "callback", "data", "device", "digest", "format", "kept_by", "mapped", "offline", "part_size", "plots",
    "set", "track", "workers",
)  # fmt: skip
"""What makes no other run of the same set."""


def default_place(base: str, config: Config, root: Path = ROOT) -> Path:
    """The place of that name; where a run of another label, tap or option lies, one that says what differs.

    The place of a run of the very same options is that run's: it may be replaced or taken up, and is refused otherwise.
    """
    mine = _options(config)
    differing: dict[str, Json] = {}
    for name in _names(base, differing):
        place = root / name
        there = _options_of(place)
        if not there:  # free, or no run: then whoever writes there is refused
            return place
        others = {
            k: mine.get(k) for k in {**mine, **there} if mine.get(k) != there.get(k, _default(config, k))
        }
        if not others:
            return place
        differing.update({k: _changed(v, there.get(k)) for k, v in others.items()} if not differing else {})
    raise AssertionError("there is always a next number")


def _names(base: str, differing: Mapping[str, Json]) -> Iterator[str]:
    """The base; with the words for what differs from the run there, known by then; and with numbers behind them."""
    yield base
    said = set_name_from("-".join([base, *_words(differing)]))
    if said != base:
        yield said
    yield from (f"{said[:120]}-{number}" for number in count(2))


def _words(differing: Mapping[str, Json]) -> Iterator[str]:
    for name, value in sorted(differing.items(), key=lambda item: (item[0] not in BARE, item[0])):
        if isinstance(value, Mapping):
            yield from _words(value)
        elif name in BARE and value is not None:
            parts = value if isinstance(value, list) else [value]
            yield "-".join(short_name(str(part)) if name == "backbone" else str(part) for part in parts)
        elif name in FILES and value:
            yield "-".join([name, *(Path(str(file)).stem for file in value)])
        elif isinstance(value, bool):
            yield name if value else f"no-{name}"
        elif value is not None and value != []:
            yield f"{name}-{'-'.join(map(str, value)) if isinstance(value, list) else value}"


def _changed(mine: Json, there: Json) -> Json:
    """Of parameters by name those that differ."""
    if isinstance(mine, dict) and isinstance(there, dict):
        return {name: value for name, value in mine.items() if there.get(name) != value}
    return mine


def _options(config: Config) -> dict[str, Json]:
    values = config.model_dump(mode="json", exclude_none=True, exclude=set(NO_DIFFERENCE))
    return dict(values)


def _default(config: Config, name: str) -> Json:
    """What a run had that was made before there was such an option."""
    field = type(config).model_fields.get(name)
    value: Any = (
        None if field is None or field.is_required() else field.get_default(call_default_factory=True)
    )
    return value


def _options_of(place: Path) -> dict[str, Json] | None:
    """The options of the run that lies there, or of a training that was interrupted; None if the place is free.

    Of what is no run nothing is known: then there are none.
    """
    state = state_folder(place)
    if not _holds_something(place) and not state.is_dir():
        return None
    try:
        said = (
            read_yaml(place / "config.yaml", "configuration")[1]
            if place.exists()
            else read_json(state / "settings.json")
        )
    except (HeadstartError, OSError):
        return {}
    return _without(said, NO_DIFFERENCE) if isinstance(said, dict) else {}


def _holds_something(place: Path) -> bool:
    return place.exists() and not (place.is_dir() and not any(place.iterdir()))


def _without(values: Mapping[str, Json], names: Collection[str]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if name not in names}
