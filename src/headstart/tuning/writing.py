"""What a training of a model that writes texts is put together from, and the head that it ends with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from headstart.arrow import keys_from_arrow
from headstart.backbones.pooling import display_tap, is_ragged
from headstart.backbones.portable import backbone_saver, open_writer
from headstart.cache.recipe import make_recipe
from headstart.cache.store import Cache
from headstart.config import IN_WINDOWS
from headstart.devices import pick_device
from headstart.errors import ConfigError, MismatchError
from headstart.extraction.backbone import reopen
from headstart.extraction.read_again import read_again
from headstart.fitting.report import describe_features
from headstart.heads.decoder import DecoderHead
from headstart.tasks import open_task
from headstart.training.trainee import Objective
from headstart.tuning.cut import fill_taps
from headstart.tuning.samples import LABELS
from headstart.tuning.setup import augmentation, data_of
from headstart.tuning.trainee import WholeNetwork
from headstart.tuning.weights import set_weights
from headstart.tuning.writing_model import MASK, STATES, WritingModel
from headstart.tuning.writing_plan import defaults_of_writing, plan_writing
from headstart.tuning.writing_samples import EncodedTexts, WrittenSamples, with_states

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.backbones.hf.writers import Writer
    from headstart.backbones.portable import BackboneSaver
    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.read_again import RawData
    from headstart.fitting.data import Splits
    from headstart.tuning.strategies import Defaults, Rules
    from headstart.tuning.writing_plan import WritingPhase
    from headstart.types import Json

TAP = "final.tokens"
"""What a decoder reads of an encoder."""
CLOSE = 1e-4
"""How far cached states may be from what the encoder gives, as a share of the largest."""
LEAST_ROOM, ROOM = 8, 1.25
"""How many tokens, and how many times as many, a text may have more than the longest that was learnt."""


class WritingNetwork(WholeNetwork):
    """A model that writes, in one phase of its training: the loss is a mean over tokens."""

    _train: WrittenSamples

    def _weight(self, window: Sequence[Sequence[int]]) -> int:
        return sum(map(self._train.n_tokens, window))

    def losses(self, part: tuple[dict[str, Tensor], int]) -> Tensor:
        """See `Trainee`."""
        batch, n_tokens = part
        total, _ = self._sum(
            {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        )
        return total[None] / n_tokens

    def evaluate(self) -> list[tuple[float | None, float | None]]:
        """The mean loss of a token; there is no accuracy."""
        validation: Any = self._validation
        if validation is None:
            return [(None, None)]
        self.model.eval()
        order = np.argsort(validation.lengths(), kind="stable")
        total, n = 0.0, 0
        with torch.inference_mode():
            for start in range(0, len(order), self._evaluated_at_once):
                batch = validation.batch(order[start : start + self._evaluated_at_once].tolist())
                found, n_tokens = self._sum({name: value.to(self.device) for name, value in batch.items()})
                total, n = total + float(found), n + n_tokens
        return [(total / n, None)]

    def _sum(self, inputs: dict[str, Tensor]) -> tuple[Tensor, int]:
        """The loss of all tokens of a batch together, and how many they are."""
        labels = inputs[LABELS]
        losses = self._on_device.losses(self._logits(inputs).float(), labels)
        return losses.sum(), int((labels >= 0).sum())


@dataclass
class EncoderStates:
    """The states of the frozen encoder, in a space of the cache; None if no phase reads them."""

    raw: Splits
    space: Space | None
    seconds: float

    def to_json(self) -> dict[str, Json]:
        """What a report says of it; nothing if nothing was kept."""
        return {} if self.space is None else {"states": {"space": self.space.id, "seconds": self.seconds}}

    @contextmanager
    def __call__(
        self, phase: WritingPhase, samples: Mapping[str, WrittenSamples]
    ) -> Iterator[Mapping[str, WrittenSamples]]:
        """Samples with their states, where the phase leaves the encoder as it is; else as they are."""
        yield self.of(phase, samples)

    def of(self, phase: WritingPhase, samples: Mapping[str, WrittenSamples]) -> Mapping[str, WrittenSamples]:
        """The same."""
        if self.space is None or not phase.encoder_is_frozen:
            return samples
        return {split: with_states(plain, self._states(split)) for split, plain in samples.items()}

    def _states(self, split: str) -> Callable[[int], NDArray[Any]]:
        assert self.space is not None
        keys = keys_from_arrow(self.raw[split].table.column("key"))
        return self.space.rows(keys).vectors


@dataclass
class WritingSetup:
    """An encoder-decoder with its data by split, ready to be trained.

    Parameters
    ----------
    described : mapping
        The encoder as it was, read at all positions, as a run's ``features.json`` describes it.
    keep : BackboneSaver, optional
        Writes the tuned encoder, with its decoder; None if it never trains.
    short_cut : EncoderStates
        What was kept of the encoder where it does not train.
    adapted : peft.PeftModel, optional
        With adapters, where the strategy has some.
    """

    described: Mapping[str, Json]
    keep: BackboneSaver | None
    model: WritingModel
    samples: Mapping[str, WrittenSamples]
    objective: Objective
    short_cut: EncoderStates
    max_new_tokens: int
    adapted: Any = None
    needs_whole_steps: bool = False
    judges_train: bool = False
    """Texts are written token by token: those of the training samples would take longer than all others."""

    @classmethod
    def open(cls, config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress) -> Self:
        """Load the model and the data, and compute what the cache lacks of a frozen encoder's states.

        Raises
        ------
        ConfigError
            The backbone has no decoder, does not fit the strategy, or an option means nothing here.
        MismatchError
            Backbone or data are not what the set was made of.
        """
        refuse_options(config)
        described = describe_features(config.cache, features, raw["train"].features)
        if "windows" in described["recipe"]:
            raise ConfigError(IN_WINDOWS)
        opened = reopen(described, Cache(features.cache), progress, config.offline)
        backbone = opened.backbone()
        writer = open_writer(backbone)
        recipe = make_recipe(opened.info, TAP, "fp32", "float32")
        described = {
            **described, "tap": display_tap(TAP), "space": recipe.id, "recipe": dict(recipe.entries),
        }  # fmt: skip
        backbone_saver(backbone, TAP)  # which says why it cannot be trained
        model = WritingModel(writer, backbone.load(str(pick_device(config.device)), "fp32"))
        phases = plan_writing(config, model.depths.n_encoder, model.depths.n_decoder)
        if config.max_new_tokens:
            writer.check_room(config.max_new_tokens)
        if config.augment and any(phase.encoder_is_frozen for phase in phases):
            raise ConfigError(
                f"--augment changes inputs in each epoch, and {config.strategy} reads states of the encoder that are "
                "computed once; take full or lora, or leave it out"
            )
        data = read_again(features, data_of(config, features), progress, config.layout)
        samples = _samples(raw, data, model, progress)
        if config.augment:
            samples["train"].change = augmentation(config, features, raw)
        adapted = set_weights(config, model, samples["train"])  # type: ignore[arg-type]
        states = EncoderStates(raw, None, 0.0)
        if any(phase.encoder_is_frozen for phase in phases):
            states = _fill(config, opened, data, raw, samples, progress)
            _check_states(model, states, samples["train"])
        is_kept = not all(phase.encoder_is_frozen for phase in phases)
        whole: Any = backbone
        objective = Objective(open_task(raw["train"].kind), None, config.label_smoothing)
        return cls(
            described, whole.writer_saver(writer) if is_kept else None, model, samples, objective, states,
            config.max_new_tokens or room_for(samples["train"], writer.most_tokens), adapted,
        )  # fmt: skip

    def plan(self, config: TuneConfig) -> list[WritingPhase]:
        """The phases of the training."""
        return plan_writing(config, self.model.depths.n_encoder, self.model.depths.n_decoder)

    def defaults(self, config: TuneConfig) -> Defaults:
        """Of the strategy."""
        return defaults_of_writing(config.strategy)

    def trainee(
        self, samples: Mapping[str, Any], phase: Any, rules: Rules, part_size: int, say: Callable[[str], None]
    ) -> WritingNetwork:
        """The network in a phase, as the loop sees it."""
        model: Any = self.model
        return WritingNetwork(model, samples, self.objective, phase, rules, part_size, say)

    def params(self, config: TuneConfig) -> dict[str, Json]:
        """How texts are written, for a report."""
        return {"num_beams": config.num_beams, "max_new_tokens": self.max_new_tokens}

    def head(self, config: TuneConfig, history: Sequence[Any]) -> DecoderHead:
        """The decoder as it is now, as a head over states."""
        device = config.device if config.device == "cpu" else "auto"
        writer = self.model.writer
        writer.net.generation_config = writer.generation(config.num_beams, self.max_new_tokens)
        head = DecoderHead.of(writer, **self.params(config), device=device)
        head.history_ = list(history)
        return head

    def encoded(self, phase: Any, raw: Splits) -> Splits:
        """The samples of each split with the states of the encoder as the last phase left it."""
        for part in self.samples.values():
            part.change, part.epoch = None, 0
        found = self.short_cut.of(phase, self.samples)
        width = _width(self.model)
        return {
            split: replace(part, X=EncodedTexts(found[split], self.model, width)) if split in found else part
            for split, part in raw.items()
        }


def refuse_options(config: TuneConfig) -> None:
    """Refuse what is for a head on a backbone."""
    given = {
        "--tap": config.tap is not None and not is_ragged(config.tap),
        "--init-head": config.init_head is not None,
        "--dropout": config.dropout != 0,
        "--head-lr": config.head_lr is not None,
        "--class-weight": config.class_weight != "none",
    }
    if wrong := [name for name, is_given in given.items() if is_given]:
        why = (
            "it reads all states of the encoder" if wrong[0] == "--tap" else "there is neither head nor class"
        )
        raise ConfigError(f"{wrong[0]} means nothing to a model that writes texts: {why}; leave it out")


def _samples(
    raw: Splits, data: RawData, model: WritingModel, progress: Progress
) -> dict[str, WrittenSamples]:
    """By split, with the tokens of what is to be written."""
    most = model.writer.most_tokens
    found: dict[str, WrittenSamples] = {}
    n_cut = 0
    for split, part in raw.items():
        if not len(part):
            continue
        labels, cut = _labels(model.writer, part.y.tolist(), most)
        n_cut += cut
        whole: Any = model
        found[split] = WrittenSamples(
            payload=data.payloads(part.table),
            names=part.table.column("id").to_pylist(),
            targets=torch.arange(len(part)),
            model=whole,
            labels=labels,
        )
    if n_cut:
        progress.say(
            f"warning: {n_cut:,} texts to write are longer than the {most:,} tokens that the decoder has places for, "
            "and are learnt only so far"
        )
    return found


def room_for(train: WrittenSamples, most: int | None) -> int:
    """How many tokens a text may have: somewhat more than the longest that is learnt, as far as there are places."""
    longest = max(len(refs) for row in train.labels for refs in row)
    room = max(longest + LEAST_ROOM, round(ROOM * longest))
    return room if most is None else min(room, most - 1)


def _labels(
    writer: Writer, references: Sequence[Sequence[str]], most: int | None
) -> tuple[list[list[list[int]]], int]:
    """The tokens of each reference of each sample, cut to so many with their end, and how many were."""
    flat = writer.tokens([text for refs in references for text in refs])
    n_cut = 0 if most is None else sum(len(ids) > most for ids in flat)
    if most is not None:
        flat = [ids if len(ids) <= most else [*ids[: most - 1], ids[-1]] for ids in flat]
    tokens = iter(flat)
    return [[next(tokens) for _ in refs] for refs in references], n_cut


def _fill(
    config: TuneConfig,
    opened: OpenedBackbone,
    data: RawData,
    raw: Splits,
    samples: Mapping[str, WrittenSamples],
    progress: Progress,
) -> EncoderStates:
    """Compute what the cache lacks of the encoder's states, after a look whether the disk has room for it."""
    space = opened.cache.space(make_recipe(opened.info, TAP, "fp32", "float32"))
    lacking = 0
    for split, part in samples.items():
        held = space.held(keys_from_arrow(raw[split].table.column("key")))
        lacking += int(part.input_lengths()[~held].sum())
    n_bytes = 4 * lacking * _width(samples["train"].model)
    check_room(n_bytes, Path(opened.cache.root))
    said = f"the encoder's states are kept ({n_bytes / 1e6:,.1f} MB to come)"
    spaces, seconds = fill_taps(config, opened, data, {0: TAP}, progress, said)
    return EncoderStates(raw, spaces[0], seconds)


def _width(model: Any) -> int:
    """D, of the encoder's states."""
    return int(model.writer.net.get_input_embeddings().weight.shape[1])


def check_room(n_bytes: int, cache: Path) -> None:
    """Refuse to compute what the disk cannot hold."""
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if n_bytes > free:
        raise ConfigError(
            f"the encoder's states take {n_bytes / 1e9:,.2f} GB, and {there} has {free / 1e9:,.2f} GB left; choose "
            "another --cache, cut inputs (--max-length), or train the encoder too (--strategy full keeps none)"
        )


def _check_states(model: WritingModel, states: EncoderStates, train: WrittenSamples) -> None:
    """Refuse cached states that are not what the encoder gives: a training on them would be of another model."""
    assert states.space is not None
    rows = list(range(min(4, len(train))))
    model.eval()
    with torch.no_grad():
        wanted = model.states(train.inputs(rows))
    kept = with_states(train, states._states("train")).inputs(rows)
    there = kept[MASK].bool()
    shape = wanted.shape[:2]
    if there.shape[0] != shape[0] or there.shape[1] > shape[1]:
        raise MismatchError(
            "the cached states of the encoder have other positions than its inputs; extract anew"
        )
    difference = float((wanted[:, : there.shape[1]] - kept[STATES])[there].abs().max())
    if difference > CLOSE * float(wanted.abs().max()):
        raise MismatchError(
            "the cached states are not those of the encoder that the decoder was trained with; extract the set anew"
        )
