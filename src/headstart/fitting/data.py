"""The samples that a head is fitted and judged on: read by split, checked, prepared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow.compute as pc

from headstart.arrow import positions_in
from headstart.backbones.pooling import PLACES, display_tap, is_ragged
from headstart.cache.layout import CONTEXT, LABEL
from headstart.cache.store import Cache
from headstart.curves.draws import protocols_of
from headstart.errors import ConfigError, DataError
from headstart.fitting.grids import BACKBONE, FEATURES, TAP, TapChoice, features_of
from headstart.fitting.label_columns import label_columns
from headstart.fitting.views import choose_views
from headstart.heads.preparation import Preparation
from headstart.heads.sequences import Sequences, held_sequences, sequences_of, side_by_side
from headstart.memory import available_bytes
from headstart.samples import ChosenSequences, LabelledSamples, Passages
from headstart.tasks import open_task
from headstart.types import SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.types import FeatureRef

Splits: TypeAlias = Mapping[str, LabelledSamples]
"""The labelled samples of a set by split; a split may be empty."""

MAPPED_FROM = 0.4
"""The share of the memory that is left from which features stay on disk, for heads that can read them there."""


@dataclass(frozen=True)
class FitData:
    """A set with one choice of features: as it was read, and as a head sees it (with views, if it draws any)."""

    raw: Splits
    splits: Splits
    preparation: Preparation
    is_grouped: bool = False
    """Whether samples of one ``meta:group`` stay together."""

    def map(self, names: Collection[str], change: Callable[[LabelledSamples], LabelledSamples]) -> FitData:
        """The same with some splits changed."""
        raw, splits = (
            {name: change(part) if name in names else part for name, part in of.items()}
            for of in (self.raw, self.splits)
        )
        return replace(self, raw=raw, splits=splits)


def read_taps(
    config: FitConfig, column: str, reader: LabelReader, heads: Sequence[Head], progress: Progress
) -> dict[TapChoice, FitData]:
    """What is fitted on: one, or one for each tap and backbone of a sweep. Mistakes show here, before any training."""
    swept = features_of(config)
    if any(name in config.sweep for name in FEATURES):
        return {
            choice: _read_choices(config, column, reader, _chosen(config, choice), heads, progress)
            for choice in swept
        }
    data = _read_choices(config, column, reader, config.choices, heads, progress)
    _say_empty_words(data.raw, progress)
    if config.tap is None or config.backbone is None:
        _say_choice(data.raw["train"], reader.features, progress)
    return {swept[0]: data}


def _chosen(config: FitConfig, choice: TapChoice) -> list[TapChoice]:
    """The features that one choice of a sweep reads: what it is not over is as the configuration says."""
    return list(dict.fromkeys((choice[0] or tap, choice[1] or backbone) for tap, backbone in config.choices))


def chosen_by(config: FitConfig) -> FitConfig:
    """The configuration with the label column, taps and backbones that it will choose, before anything is read."""
    features = Cache(config.cache).open_set(config.set, config.digest)
    refs = [features.feature(tap, backbone) for tap, backbone in _first_choices(config)]
    has_any = bool(features.label_names) or config.label is not None
    return with_choice(config, features, refs, label_columns(features, config.label) if has_any else [])


def _first_choices(config: FitConfig) -> list[TapChoice]:
    """The features to fit on, or the first ones that a sweep tries."""
    return _chosen(config, features_of(config)[0])


def with_choice(
    config: FitConfig, features: FeatureSet, refs: Sequence[FeatureRef], columns: Sequence[str]
) -> FitConfig:
    """The configuration with the features and the label columns that were chosen."""
    taps = list(dict.fromkeys(display_tap(ref.tap) for ref in refs))
    backbones = list(dict.fromkeys(ref.backbone for ref in refs))
    update: dict[str, Any] = {
        "digest": features.digest, "label": columns[0] if len(columns) == 1 else list(columns),
    }  # fmt: skip
    # Several backbones may each have a latest tap of their own: then nothing but the set's digest names them.
    if TAP not in config.sweep and (config.tap is not None or len(taps) == 1):
        update["tap"] = taps[0] if len(taps) == 1 else taps
    if BACKBONE not in config.sweep:
        update["backbone"] = backbones[0] if len(backbones) == 1 else backbones
    return config.model_copy(update=update)


def _read_choices(
    config: FitConfig,
    column: str,
    reader: LabelReader,
    choices: Sequence[TapChoice],
    heads: Sequence[Head],
    progress: Progress,
) -> FitData:
    attends, features = heads[0].takes_sequences, reader.features
    raw = reader.splits(
        choices,
        column,
        heads[0],
        lambda: _is_mapped(config, column, features, choices, heads, progress),
        config.teacher is not None or any(head.takes_unlabelled for head in heads),
    )
    learns = any(head.learns_from_labels for head in heads)
    if learns:
        check_train(raw["train"], features.name)
    else:
        check_any(raw, features.name)
    _say_unlabelled(raw["train"], heads, progress)
    if attends and sequences_of(raw["train"].X) is None:
        raise ConfigError(
            f"the head {config.head!r} has nothing to attend to: these features have one vector a sample. "
            "Give it all positions (extract with --taps last.tokens, then --tap last.tokens), or several layers by "
            "several --tap"
        )
    protocols_of(config.shots, config.curve, raw["train"])  # which refuses what cannot be drawn
    if learns:
        check_validation(raw)
    if config.refit and not len(raw["validation"]):
        raise ConfigError("--refit adds the validation samples, and this set has none")
    if config.refit or (config.folds and len(raw["validation"])):
        raw["train"].check_joinable()
    splits, preparation = raw, Preparation()
    if config.prepare:
        if not all(isinstance(samples.X, np.ndarray) for samples in raw.values()):
            raise ConfigError("--prepare works on pooled features in memory; leave it out, or --mapped")
        preparation, splits = reader.prepared(config, raw)
    if views := choose_views(config, features, raw["train"], heads, progress):  # never of prepared features
        raw = splits = {**raw, "train": replace(raw["train"], views=views)}
    return FitData(raw, splits, preparation, "group" in features.info["split"])


def _say_unlabelled(train: LabelledSamples, heads: Sequence[Head], progress: Progress) -> None:
    """How many samples without a label a head learns from."""
    if any(head.takes_unlabelled for head in heads):
        n = 0 if train.unlabelled is None else len(train.unlabelled)
        progress.say(f"labels spread from {len(train):,} train samples to {n:,} without one")


class LabelReader:
    """Reads the samples of a set for one label after another: their features once, however many labels there are.

    Labels that the same samples have share one matrix, and so whatever is fitted on it alone.
    """

    def __init__(self, features: FeatureSet, columns: Sequence[str], prepares_together: bool = False) -> None:
        self.features = features
        self._columns = columns
        self._prepares_together = prepares_together
        self._read: dict[Any, dict[str, LabelledSamples]] = {}
        self._chosen: dict[Any, Any] = {}
        self._prepared: dict[Any, tuple[Preparation, dict[str, Any], Splits]] = {}

    def splits(
        self,
        choices: Sequence[TapChoice],
        column: str,
        head: Any,
        is_mapped: Callable[[], bool],
        keeps_unlabelled: bool = False,
    ) -> dict[str, LabelledSamples]:
        """The samples of each split that have a label in a column, as a head takes them; see `read_splits`."""
        if len(self._columns) == 1:
            return read_for(head, self.features, choices, column, is_mapped(), keeps_unlabelled)
        if head.takes_passages:
            raise ConfigError(
                f"answers in a context are learnt alone, and there are several labels; say --label {column}"
            )
        attends = head.takes_sequences
        how = (tuple(choices), attends)
        if how not in self._read:
            self._read[how] = _read_splits(
                self.features, choices, column, attends, is_mapped(), lambda samples, _: samples
            )
        return {
            split: self._labelled((how, split), samples, column) for split, samples in self._read[how].items()
        }

    def _labelled(self, read: Any, samples: LabelledSamples, column: str) -> LabelledSamples:
        """Those of the samples that have a label in a column; their features are those of other such columns."""
        kind, names = self.features.label_kinds[column], self.features.label_names[column]
        y = open_task(kind).encode(samples.table.column(LABEL + column), names)
        found = replace(samples, y=y, names=names, kind=kind, column=column).labelled()
        # Kept with what it was chosen from: two columns that the same samples have are of one matrix.
        X = self._chosen.setdefault((read, open_task(kind).known(y).tobytes()), found.X)
        return replace(found, X=X)

    def with_any_label(self, columns: Sequence[str]) -> dict[str, LabelledSamples]:
        """The samples of each split that have a label in any of some columns, whatever is in ``y``."""
        [read] = self._read.values()  # of one choice of features
        return {split: self._with_any(samples, columns) for split, samples in read.items()}

    def _with_any(self, samples: LabelledSamples, columns: Sequence[str]) -> LabelledSamples:
        known = np.zeros(len(samples), dtype=bool)
        for column in columns:
            task, names = open_task(self.features.label_kinds[column]), self.features.label_names[column]
            known |= task.known(task.encode(samples.table.column(LABEL + column), names))
        return samples if known.all() else samples.take(np.flatnonzero(known))

    def prepared(self, config: FitConfig, raw: Splits) -> tuple[Preparation, dict[str, LabelledSamples]]:
        """Steps that are fitted on the train samples, and samples with the features that they make.

        Where heads share a network, these are all train samples that have a label.
        """
        if len(self._columns) == 1:
            preparation = Preparation.fit(config.prepare, raw["train"].X, config.seed)
            return preparation, {split: samples.prepared(preparation) for split, samples in raw.items()}
        which = tuple(id(samples.X) for samples in raw.values())
        if which not in self._prepared:
            train = self.with_any_label(self._columns)["train"] if self._prepares_together else raw["train"]
            preparation = Preparation.fit(config.prepare, train.X, config.seed)
            made = {split: preparation(samples.X) for split, samples in raw.items()}
            self._prepared[which] = preparation, made, raw  # which keeps their ids from being those of others
        preparation, features, _ = self._prepared[which]
        return preparation, {split: replace(raw[split], X=X) for split, X in features.items()}


def read_for(
    head: Any,
    features: FeatureSet,
    choices: Sequence[TapChoice],
    label: str | None,
    mapped: bool = False,
    keeps_unlabelled: bool = False,
) -> dict[str, LabelledSamples]:
    """Read the labelled samples of each split as a head, or its class, takes them; see `read_splits`."""
    raw = read_splits(features, choices, label, head.takes_sequences, mapped, keeps_unlabelled)
    if not head.takes_passages:
        return raw
    return {split: with_places(features, samples) for split, samples in raw.items()}


def read_splits(
    features: FeatureSet,
    choices: Sequence[TapChoice],
    label: str | None,
    attends: bool = False,
    mapped: bool = False,
    keeps_unlabelled: bool = False,
) -> dict[str, LabelledSamples]:
    """Read the labelled samples of each split.

    Several choices are put side by side, by key; or one behind the other for a head that attends, which takes several
    vectors a sample. Features that are ``mapped`` stay on disk. Train samples without a label may be kept beside the
    others, for a teacher to speak of.
    """
    column = features.label_column(label)

    def kept(samples: LabelledSamples, split: str) -> LabelledSamples:
        return samples.labelled(keeps_unlabelled and split == "train")

    return _read_splits(features, choices, column, attends, mapped, kept)


def _read_splits(
    features: FeatureSet,
    choices: Sequence[TapChoice],
    column: str,
    attends: bool,
    mapped: bool,
    kept: Callable[[LabelledSamples, str], LabelledSamples],
) -> dict[str, LabelledSamples]:
    read = [
        {split: kept(_read(features, choice, split, column, attends, mapped), split) for split in SPLITS}
        for choice in choices
    ]
    return {split: _side_by_side([each[split] for each in read], attends) for split in SPLITS}


def with_places(features: FeatureSet, samples: LabelledSamples) -> LabelledSamples:
    """Questions with contexts, and where the tokens that were read of them stand.

    Raises
    ------
    ConfigError
        The features do not say it.
    """
    ref, column = samples.feature, samples.column
    if not is_ragged(ref.tap) or not features.fitting(PLACES, ref.backbone, None):
        raise ConfigError(
            f"{ref.backbone} at {display_tap(ref.tap)} does not say where tokens stand in a context, which answers "
            "need; extract questions with contexts with --taps last.tokens (in windows, which is the default for them)"
        )
    stored = features.tokens(None, PLACES, column or None, ref.backbone)
    rows = positions_in(samples.table.column("id"), stored.table.column("id"))
    contexts = samples.table.column(CONTEXT).to_pylist()
    X = Passages(samples.X, ChosenSequences(stored, rows), contexts)
    return replace(samples, X=X, beside=(stored.feature,))


def _read(
    features: FeatureSet, choice: TapChoice, split: str, label: str, attends: bool, mapped: bool
) -> LabelledSamples:
    tap, backbone = choice
    if attends and (tap is None or is_ragged(features.feature(tap, backbone).tap)):
        try:
            stored: Any = features.tokens(split, tap, label, backbone)
        except ConfigError:
            return replace(features.rows(split, tap, label, backbone), widths=())
    elif mapped:
        stored = features.mapped(split, tap, label, backbone)
    else:
        samples = features.rows(split, tap, label, backbone)
        return replace(samples, widths=()) if attends else samples
    X = stored
    if attends and open_task(stored.kind).form == "tags":
        # Heads go over the words many times, and several layers are put side by side.
        n_bytes = 4 * int(stored.lengths.sum()) * stored.width
        X = held_sequences(stored) if n_bytes < MAPPED_FROM * available_bytes() else stored
    return LabelledSamples(
        stored.table,
        X,
        stored.y,
        stored.names,
        stored.kind,
        label,
        (stored.feature,),
        is_grouped=features.is_grouped,
    )


def _side_by_side(parts: Sequence[LabelledSamples], attends: bool) -> LabelledSamples:
    """Several features of the same samples, met by their ids; a sample that lacks one is left out."""
    if len(parts) == 1:
        return parts[0]
    in_memory = all(isinstance(part.X, np.ndarray) for part in parts)
    of_words = attends and all(isinstance(part.X, Sequences) for part in parts)
    if not in_memory and not of_words:
        raise ConfigError("several taps are put side by side in memory: give pooled taps, without --mapped")
    aligned = [
        part if (kept := _in_all(part, parts)).all() else part.take(np.flatnonzero(kept)) for part in parts
    ]
    refs = tuple(part.feature for part in parts)
    widths = tuple(part.width for part in aligned)
    if of_words:
        beside = side_by_side([held_sequences(part.X) for part in aligned])
        return replace(aligned[0], X=beside, features=refs)
    others = [part.unlabelled for part in parts if part.unlabelled is not None]
    unlabelled = _side_by_side(others, attends) if len(others) == len(parts) else None
    if not attends:
        X: Any = np.concatenate([part.X for part in aligned], axis=1)
        return replace(aligned[0], X=X, features=refs, widths=widths, unlabelled=unlabelled)
    if len(set(widths)) > 1:
        raise ConfigError(
            f"layers that are attended to must be equally wide, and these are {sorted(set(widths))}; choose taps of "
            "one backbone"
        )
    stacked = np.stack([part.X for part in aligned], axis=1)
    n_samples, n_layers, width = stacked.shape
    X = Sequences(stacked.reshape(-1, width), np.arange(n_samples + 1) * n_layers)
    return replace(aligned[0], X=X, features=refs, unlabelled=unlabelled)


def _in_all(part: LabelledSamples, parts: Sequence[LabelledSamples]) -> NDArray[np.bool_]:
    masks = [pc.is_in(part.table.column("id"), other.table.column("id").combine_chunks()) for other in parts]
    return np.asarray(np.all([mask.to_pylist() for mask in masks], axis=0), dtype=bool)


def check_train(train: LabelledSamples, name: str) -> None:
    """Refuse what nothing can be learnt from: no training sample in the set of that name, or only one class."""
    if not len(train):
        raise DataError(f"set {name!r} has no train sample with a label in {train.column!r}")
    open_task(train.kind).check_train(train.y, train.names, name, train.column)


def check_any(raw: Splits, name: str) -> None:
    """Refuse samples of which none has a label, so that no figure can be computed."""
    if not any(map(len, raw.values())):
        raise DataError(
            f"set {name!r} has no sample with a label in {raw['train'].column!r}; extract it without that label column"
        )


def check_validation(raw: Splits) -> None:
    """Refuse validation samples that can choose nothing: none has a label that the train samples know."""
    train, validation = raw["train"], raw["validation"]
    task = open_task(train.kind)
    if not len(validation) or task.form != "classes":
        return
    if not task.occurring(train.y) & task.occurring(validation.y):
        raise ConfigError(
            f"no validation sample has a label in {train.column!r} that the train samples know, so that nothing says "
            "which head, parameter or epoch is the best; extract with other splits"
        )


def _is_mapped(
    config: FitConfig,
    column: str,
    features: FeatureSet,
    choices: Sequence[TapChoice],
    heads: Sequence[Head],
    progress: Progress,
) -> bool:
    """Whether features stay on disk: on request, or where they would fill the memory that is left."""
    attends, by_epochs = heads[0].takes_sequences, all(head.trains_by_epochs for head in heads)
    can = by_epochs and not attends and len(choices) == 1 and not config.prepare
    if config.mapped is not None:
        if config.mapped and not can:
            raise ConfigError(
                "--mapped is for one pooled tap, without --prepare, and heads that train by epochs: linear, mlp, "
                "residual or py:…"
            )
        return config.mapped
    if attends:
        return False
    try:
        tap, backbone = choices[0]
        rows, width = features.mapped(None, tap, column, backbone).shape
    except ConfigError:
        return False  # reading it says what is wrong
    n_bytes = 4 * rows * width * len(choices)
    if n_bytes < MAPPED_FROM * available_bytes():
        return False
    if can:
        progress.say(f"{n_bytes / 1e9:,.1f} GB of features stay on disk, and are read batch by batch")
        return True
    progress.say(
        f"warning: {n_bytes / 1e9:,.1f} GB of features may not fit into memory; --head linear reads them from disk"
    )
    return False


def _say_empty_words(raw: Splits, progress: Progress) -> None:
    """How many words have vectors of zeros, which heads tag as outside."""
    values = [part.X.values for part in raw.values() if isinstance(part.X, Sequences)]
    n = sum(int((~each.any(axis=1)).sum()) for each in values)
    if n and open_task(raw["train"].kind).form == "tags":
        progress.say(f"{counted(n, 'word')} without tokens, whose vectors are zeros: outside of every entity")


def _say_choice(train: LabelledSamples, features: FeatureSet, progress: Progress) -> None:
    """Which feature was taken, where there were several and nobody said which."""
    plain = [e for e in features.info["features"] if not e.get("view") and e["tap"] != PLACES]
    if len(plain) < 2 or len(train.features) > 1:
        return
    others = {(entry["backbone"], display_tap(entry["tap"])) for entry in plain}
    taken = (train.feature.backbone, display_tap(train.feature.tap))
    listed = ", ".join(f"{tap} of {backbone}" for backbone, tap in sorted(others - {taken}))
    if listed:
        progress.say(
            f"features {taken[1]} of {taken[0]}; the set also has {listed}: --tap and --backbone choose"
        )
