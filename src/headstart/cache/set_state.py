"""What a set says: its samples, labels, failures, and which features it has. No feature is read here."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headstart.arrow import codes_by_name, column_of, keys_from_arrow
from headstart.backbones.pooling import PLACES, canonical_tap, display_tap, is_ragged
from headstart.cache.corrections import Correction, read_corrections
from headstart.cache.open_home import home_of
from headstart.errors import ConfigError, CorruptShardError, DataError
from headstart.keys import KEY_BYTES
from headstart.notebook import html_facts
from headstart.options import did_you_mean
from headstart.parquet_file import open_parquet
from headstart.types import SPLITS, Failure, FeatureRef, Json, LabelKind
from headstart.words import counted

REPAIR = "`headstart cache verify --repair` goes back to the last sound state of the set"
SHOWN_NAMES = 10
_BY_NUMBER = re.compile(r"-?\d")


class SetState:
    """A set as it is in one digest, in the folder of that name: it never changes. ``info`` is its ``set.json``."""

    def __init__(self, path: Path, info: Mapping[str, Json]) -> None:
        self.path = path
        self.info = info
        self._table: pa.Table | None = None

    @property
    def name(self) -> str:
        """The set's name."""
        return self.path.parent.name

    @property
    def digest(self) -> str:
        """What tells this state of the set from its earlier and later ones."""
        return self.path.name

    @property
    def cache(self) -> str | Path:
        """The folder, or the address, of the cache that it lies in."""
        return home_of(self.path.parents[2]).location

    @property
    def features(self) -> tuple[FeatureRef, ...]:
        """What can be read, views included; those of the latest extraction first."""
        return tuple(
            FeatureRef(entry["backbone"], entry["tap"], entry["space"], entry.get("view"))
            for entry in self.info["features"]
        )

    @property
    def label_names(self) -> dict[str, tuple[str, ...]]:
        """The names of each label column, in order."""
        return {column: tuple(names) for column, names in self.info["labels"].items()}

    @property
    def label_kinds(self) -> dict[str, LabelKind]:
        """What the values of each label column are."""
        kinds = self.info.get("label_kinds", {})
        return {column: kinds.get(column, "single") for column in self.label_names}

    @property
    def long_texts(self) -> dict[str, Json]:
        """By backbone, how many texts are longer than it takes, and how long the longest is.

        ``max_length``, ``samples``, ``longer``, ``longest``, ``longest_is_more`` (it has even more), ``not_known``, and
        ``on_long``: ``truncate`` or ``windows``. Backbones whose texts nobody counted are not in it.
        """
        found: dict[str, Json] = {}
        for ref in self.features:
            measured = self.info.get("measured", {}).get(ref.space, {})
            for name, done in (("truncated", "truncate"), ("windowed", "windows")):
                if name in measured and ref.view is None:
                    found.setdefault(ref.backbone, {**measured[name], "on_long": done})
        return found

    def long_texts_said(self) -> list[str]:
        """The same in words, for backbones that are given longer texts than they take."""
        done = {"windows": "are read in windows", "truncate": "are cut"}
        return [
            f"{long['longer']:,} of {long['samples']:,} texts are longer than the {long['max_length']:,} tokens of "
            f"{backbone}, and {done[long['on_long']]}"
            for backbone, long in self.long_texts.items()
            if long["longer"]
        ]

    @property
    def samples(self) -> pa.Table:
        """The table: ``id``, ``key``, ``split``, ``origin``, ``label:<name>``, ``meta:<name>``."""
        if self._table is None:
            self._table = read_samples(self.path, None)
        return self._table

    @property
    def failures(self) -> list[Failure]:
        """The samples that were skipped."""
        try:
            # Not splitlines(): an id may hold U+2028 and its like, which end no line of JSON.
            lines = (self.path / "failures.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [Failure(**json.loads(line)) for line in lines if line]

    @cached_property
    def corrections(self) -> tuple[Correction, ...]:
        """What people decided about its labels, and what they stand on."""
        return read_corrections(self.path, self.info)

    def __len__(self) -> int:
        return int(self.info["counts"]["samples"])

    def __repr__(self) -> str:
        taps = ", ".join(f"{ref.backbone} {display_tap(ref.tap)}" for ref in self.features if not ref.view)
        n_views = sum(ref.view is not None for ref in self.features)
        more = f", {n_views:,} augmented views" if n_views else ""
        n_long = max((long["longer"] for long in self.long_texts.values()), default=0)
        more += f", {n_long:,} long texts" if n_long else ""
        return f"{type(self).__name__}({self.name!r}, {counted(len(self), 'sample')}, {taps}{more})"

    def _repr_html_(self) -> str:
        counts = self.info["counts"]
        named = ((split, counts[split]) for split in SPLITS if counts.get(split))
        taps = [f"{ref.backbone} {display_tap(ref.tap)}" for ref in self.features if not ref.view]
        labels = {
            f"label {column!r}": _listed_names(names) if names else self.label_kinds[column]
            for column, names in self.label_names.items()
        }
        facts = {
            "samples": f"{len(self):,} ({', '.join(f'{n:,} {split}' for split, n in named)})",
            **labels,
            "features": "; ".join(dict.fromkeys(taps)),
            "data": self.info.get("source", {}).get("description", ""),
        }
        if said := self.long_texts_said():
            facts["long texts"] = "; ".join(said)
        if n_failed := counts.get("failures"):
            facts["failures"] = f"{n_failed:,}, named in features.failures"
        return html_facts(f"set {self.name}", facts)

    def feature(
        self, tap: str | None = None, backbone: str | None = None, view: str | None = None
    ) -> FeatureRef:
        """One feature of the set: the only one, or of those that fit the first of the latest extraction.

        Parameters
        ----------
        tap, backbone : str, optional
            None: any.
        view : str, optional
            An augmented view, such as ``default:1``; None: of the samples as they are.

        Raises
        ------
        ConfigError
            None fits; the message names those that there are.
        """
        fitting = self.fitting(tap, backbone, view)
        if not fitting:
            raise ConfigError(
                f"set {self.name!r} has no feature of {backbone or 'any backbone'} at "
                f"{tap or 'any tap'}{f' in view {view!r}' if view else ''}; it has: {_listed(self.features, view)}"
            )
        return fitting[0]

    def pooled_feature(self, tap: str | None = None, backbone: str | None = None) -> FeatureRef:
        """One feature of the set; without a tap the latest with one vector a sample, where there is one."""
        pooled = (ref for ref in self.fitting(None, backbone, None) if not is_ragged(ref.tap))
        first = next(pooled, None) if tap is None else None
        return self.feature(tap, backbone) if first is None else first

    @property
    def is_grouped(self) -> bool:
        """Whether ``meta:group`` says what belongs together: what was asked for, or the image of pairs with a text."""
        return "group" in self.info.get("split", {}) or self.info["source"].get("modality") == "image-text"

    def views(self, tap: str | None = None, backbone: str | None = None) -> tuple[str, ...]:
        """The augmented views that a feature has, in their order; see `feature`."""
        plain = self.feature(tap, backbone)
        same = (ref for ref in self.features if (ref.backbone, ref.tap) == (plain.backbone, plain.tap))
        return tuple(ref.view for ref in same if ref.view is not None)

    def label_column(self, label: str | None = None) -> str:
        """A label column by name; the first if None.

        Raises
        ------
        DataError, ConfigError
            The set has no labels, or none of that name.
        """
        names = list(self.label_names)
        if not names:
            raise DataError(
                f"set {self.name!r} has no labels; extract it with --label-column, or label samples: headstart suggest"
            )
        if label is None:
            return names[0]
        if label not in names:
            raise ConfigError(
                f"set {self.name!r} has no label {label!r}{did_you_mean(label, names, 'it has')}"
            )
        return label

    def count_unexplained(self, keys: NDArray[np.uint8], space: str) -> int:
        """How many keys, shape (N, 16), are not of samples that failed in a space."""
        failed = {failure.key for failure in self.failures if failure.space in ("", space)}
        return sum(key.tobytes().hex() not in failed for key in keys)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of the samples; the others are not read for them."""
        table = read_samples(self.path, names) if self._table is None else self._table
        return table.select(list(names))

    def groups(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of the samples, a row group at a time: strings of all would be the largest thing in memory."""
        with open_samples(self.path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, columns=list(names), use_threads=False)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns of `samples`."""
        with open_samples(self.path) as file:
            return list(file.schema_arrow.names)

    def take(self, rows: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        """Some samples, in the order of ``rows``, with some columns; of a large set no more is read than is needed."""
        if self._table is not None:
            return self._table.select(list(names)).take(column_of(rows))
        order = np.argsort(rows, kind="stable")
        with open_samples(self.path) as file:
            found = pa.concat_tables(_taken(file, rows[order], list(names)))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return found.take(column_of(back))

    def fitting(self, tap: str | None, backbone: str | None, view: str | None) -> list[FeatureRef]:
        """The features that `feature` chooses from."""
        return [
            ref
            for ref, entry in zip(self.features, self.info["features"], strict=True)
            if backbone in (None, ref.backbone)
            and ref.view == view
            and (ref.tap != PLACES if tap is None else _means(tap, entry))
        ]


def _taken(file: pq.ParquetFile, rows: NDArray[np.int64], names: list[str]) -> Iterator[pa.Table]:
    """Rows in ascending order, a row group after the other."""
    start = 0
    for number in range(file.num_row_groups):
        stop = start + file.metadata.row_group(number).num_rows
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
        if len(here) or not number:  # without a row, too, it is known which columns there are
            yield file.read_row_group(number, columns=names).take(column_of(here))
        start = stop


@contextlib.contextmanager
def open_samples(folder: Path) -> Iterator[pq.ParquetFile]:
    """The table of samples in a state's folder."""
    path = folder / "samples.parquet"
    try:
        with open_parquet(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise CorruptShardError(f"{path} cannot be read ({error}); {REPAIR}") from error


def read_samples(folder: Path, names: Sequence[str] | None) -> pa.Table:
    """Some columns of the samples, or all."""
    with open_samples(folder) as file:
        return file.read(columns=None if names is None else list(names))


def read_splits(features: SetState) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """The keys of a set, shape (N, 16), and the split of each as an index into ``SPLITS``, shape (N,)."""
    with open_samples(features.path) as file:
        n_rows = file.metadata.num_rows
    keys = np.empty((n_rows, KEY_BYTES), dtype=np.uint8)
    splits = np.empty(n_rows, dtype=np.int8)
    start = 0
    for group in features.groups(["key", "split"]):
        rows = slice(start, start + group.num_rows)
        keys[rows] = keys_from_arrow(group.column("key"))
        splits[rows] = codes_by_name(group.column("split"), SPLITS)
        start += group.num_rows
    return keys, splits


def failures_to_jsonl(failures: Sequence[Failure]) -> bytes:
    """Failures, one JSON object a line."""
    return "".join(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures).encode()


SHOWN_FEATURES = 5


def _listed(features: Sequence[FeatureRef], view: str | None) -> str:
    """Features, for a message: views only where one was asked for."""
    names = [
        f"{ref.backbone} {display_tap(ref.tap)}{f' in view {ref.view!r}' if ref.view else ''}"
        for ref in features
        if view is not None or ref.view is None
    ]
    more = f"; … ({len(names):,} in all)" if len(names) > SHOWN_FEATURES else ""
    return "; ".join(names[:SHOWN_FEATURES]) + more


def _means(tap: str, entry: Mapping[str, Json]) -> bool:
    """Whether a tap, as a user writes it, is that of a feature."""
    layers = {name: entry[name] for name in ("n_layers", "first_layer", "closing_norm") if name in entry}
    try:
        return canonical_tap(tap, **layers) == str(entry["tap"])
    except ConfigError:
        if not _BY_NUMBER.match(tap.strip()):
            raise
        return False  # a layer that another backbone of the set may have


def _listed_names(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    shown = ", ".join(names[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown}, … ({len(names):,} in all)"
