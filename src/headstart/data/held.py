"""What a program holds, as a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headstart.data.held_tables import open_stream, open_tables
from headstart.data.memory import MemorySource
from headstart.data.objects import HeldStream, HeldTables
from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.contracts import Source
    from headstart.data.given import Given
    from headstart.data.objects import Held
    from headstart.data.options import SourceOptions
    from headstart.types import Modality


def open_held(held: Held, given: Given, options: SourceOptions, modality: Modality | None) -> Source:
    """Open what a program holds, with what it says beside it."""
    if isinstance(held, HeldStream):
        return open_stream(held.by_split, given, options, modality)
    if isinstance(held, HeldTables):
        return open_tables(held.by_split, held.kind, given, options, modality)
    if held.labels is not None:
        if given.labels is not None:
            raise ConfigError("labels= is given, and each sample brings its own; leave one out")
        given = replace(given, labels=held.labels)
    if held.names and not options.label_names and options.label_kind in ("auto", "single"):
        options = replace(options, label_names=held.names)
    if held.ids is not None and given.ids is None:
        given = replace(given, ids=held.ids)
    return MemorySource(held.items, modality, given, options, held.about)
