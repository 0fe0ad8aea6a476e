"""Backbone and head as one torch module, from model inputs to logits, of which any part may be trained.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from headstart.backbones.blocks import block_list
from headstart.backbones.freezing import enable_gradients
from headstart.backbones.pooling import UNIT, display_tap, is_of_words, is_ragged, pool, reads_of
from headstart.backbones.timm_models import block_names, depths_of
from headstart.cache.store import Cache
from headstart.columns import columns
from headstart.data.sentences import Words, split_words
from headstart.errors import ConfigError, DataError, SampleError
from headstart.extraction.backbone import reopen
from headstart.heads.plain import plain_head
from headstart.tuning.word_inputs import WORD_INPUTS, gather_words, windows_of, word_inputs

if TYPE_CHECKING:
    from headstart.contracts import Backbone, FrozenModel, Progress
    from headstart.heads.plain import PlainHead
    from headstart.heads.predictor import Predictor
    from headstart.tuning.strategies import Phase
    from headstart.types import Json, Modality, Payload

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
HEAD = "head."
BACKBONE = "backbone."
ADAPTED = ".base_layer."
"""What peft puts into the name of a weight that it puts an adapter beside."""


@dataclass(frozen=True)
class Depths:
    """The depth of every parameter of a backbone of so many blocks, or stages; 0 if it cannot be divided.

    It is 0 for what stands before the first block, then the number of the block from 1, and ``n_blocks + 1`` behind
    the last.
    """

    n_blocks: int
    of_parameter: Mapping[str, int]

    @classmethod
    def of(cls, backbone: nn.Module, blocks: Sequence[nn.Module] | None = None) -> Depths:
        """Look at a backbone, with its blocks from first to last; if none are given, with those of `blocks_of`."""
        if hasattr(backbone, "group_matcher"):
            return cls(*depths_of(backbone))
        blocks = blocks_of(backbone) if blocks is None else blocks
        inside = {
            id(parameter): number
            for number, block in enumerate(blocks, 1)
            for parameter in block.parameters()
        }
        depths: dict[str, int] = {}
        of_tensor: dict[int, int] = {}
        seen = False
        # A weight that is tied (T5's embeddings) has several names, and one depth: that of its first.
        for name, parameter in backbone.named_parameters(remove_duplicate=False):
            seen |= id(parameter) in inside
            # What is registered behind the blocks runs behind them: closing norms and poolers.
            depth = inside.get(id(parameter), len(blocks) + 1 if seen else 0)
            depths[name] = of_tensor.setdefault(id(parameter), depth)
        return cls(len(blocks), depths)

    def of_modules(self, backbone: nn.Module) -> dict[str, int]:
        """The depth of every module: of its shallowest parameter, or of the one that stands before it."""
        depths: dict[str, int] = {}
        latest = 0
        for name, module in backbone.named_modules():
            prefix = f"{name}." if name else ""
            own = [self.of_parameter[prefix + part] for part, _ in module.named_parameters()]
            depths[name] = min(own) if own else latest
            direct = [prefix + part for part, _ in module.named_parameters(recurse=False)]
            latest = self.of_parameter[direct[-1]] if direct else latest
        return depths


def blocks_of(backbone: nn.Module) -> list[Any]:
    """The blocks of a model of transformers, first to last, or of timm, as far as each is a module of its own.

    Any other has none that are known.
    """
    if hasattr(backbone, "group_matcher"):
        return [backbone.get_submodule(name) for name in block_names(backbone)]
    config = getattr(backbone, "config", None)
    if config is None:
        return []
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    depths = getattr(text, "depths", None)
    return list(block_list(backbone, len(depths) if depths else getattr(text, "num_hidden_layers", None)))


class LinearHeadLayer(nn.Module):
    """Features (B, D), standardised by what is known, to logits (B, C), as the head ``linear`` has them."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, n_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(len(mean), n_outputs)
        nn.init.zeros_(
            self.output.weight
        )  # all classes are equally likely, and which is which does not matter
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits, shape (B, C)."""
        logits: Tensor = self.output(self.dropout((features - self.mean) / self.scale))
        return logits


class ShowingHeadLayer(LinearHeadLayer):
    """The same, and behind the logits what a linear map makes of the features, (B, C + F): for a teacher to look at.

    The map is for training alone, and is not kept with a run.
    """

    def __init__(self, plain: LinearHeadLayer, n_shown: int, seed: int) -> None:
        super().__init__(plain.mean, plain.scale, plain.output.out_features, plain.dropout.p)
        self.shown = nn.Linear(len(plain.mean), n_shown)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.shown.weight.normal_(std=len(plain.mean) ** -0.5, generator=generator)
            self.shown.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Logits and what is shown, shape (B, C + F)."""
        scaled = (features - self.mean) / self.scale
        return torch.cat([self.output(self.dropout(scaled)), self.shown(scaled)], dim=-1)


class WholeModel(nn.Module):
    """A backbone with its head: from what the backbone's `collate` makes to logits.

    A logit is what stands before the last function of ``predict``: the softmax of a row are the
    probabilities of its classes, with several labels a sample the sigmoid of each is its probability, and
    for numbers it is the number itself. The head's preparation of features, its standardisation and its
    temperature are part of it. It computes in float32.

    Parameters
    ----------
    frozen : FrozenModel
        In float32; its module is this one's ``backbone`` and is changed with it.
    tap : str
        Canonical: what the head reads.
    head : torch.nn.Module
        From features (B, D) to logits (B, n_outputs).
    modality : {"image", "text", "text-pair", "image-text", "words"}
        What `inputs` is given.
    trainable : bool
        False: no weight has a gradient and nothing is in training mode, whatever `train` says, until `train_from`
        is called. True: all weights have one; it starts in eval mode, so call `train`.
    live_statistics : bool
        Whether batch norms that train go on learning the mean and the variance of their inputs. They need large
        batches and many steps for it: a few steps at the momentum of many networks leave statistics that fit neither
        the old weights nor the new.
    """

    def __init__(
        self,
        frozen: FrozenModel,
        tap: str,
        head: nn.Module,
        modality: Modality,
        trainable: bool = False,
        live_statistics: bool = True,
    ) -> None:
        super().__init__()
        self.frozen = frozen
        self._tap, self._modality = tap, modality
        self._trains, self.live_statistics = trainable, live_statistics
        self._first = 0
        self._unread: frozenset[str] = frozenset()
        self.backbone = enable_gradients(frozen.module, trainable)
        self.head = head.to(frozen.device).requires_grad_(trainable)
        self.read: Any = self._read
        """From a batch to features (B, D); replaced where a pass begins in the middle of the backbone."""
        self.eval()

    @cached_property
    def depths(self) -> Depths:
        """Of the backbone's parameters."""
        return Depths.of(self.frozen.module, getattr(self.frozen, "blocks", None))

    @cached_property
    def _module_depths(self) -> dict[str, int]:
        return self.depths.of_modules(self.frozen.module)

    @cached_property
    def blocks(self) -> list[Any]:
        """Of the backbone, as far as each is a module of its own."""
        own = getattr(self.frozen, "blocks", None)
        return blocks_of(self.frozen.module) if own is None else list(own)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits, shape (B, n_outputs), or of words (B, T, n_outputs), of what `inputs` gave."""
        logits: Tensor = self.head(self.features(batch))
        return logits

    def features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the head reads, shape (B, D), or of words (B, T, D)."""
        with self._without_graph():
            features: Tensor = self.read(batch)
        return features

    def _read(self, batch: Mapping[str, Tensor]) -> Tensor:
        reads = reads_of([self._tap])
        if not self.reads_words:
            return pool(self.frozen.forward(batch, reads), self._tap)
        plain = {name: part for name, part in batch.items() if name not in WORD_INPUTS}
        words = gather_words(self.frozen.forward(plain, reads).layers[reads[0]].hidden, batch)
        return nn.functional.normalize(words, dim=-1) if self._tap.endswith(UNIT) else words

    @property
    def reads_words(self) -> bool:
        """Whether the head reads a vector for each word."""
        return is_of_words(self._tap)

    def collate(self, prepared: Sequence[Any]) -> dict[str, Tensor]:
        """Prepared samples as one batch on the CPU; of sentences each window is a row, and words know their tokens."""
        if not self.reads_words:
            return self.frozen.collate(prepared)
        batch = self.frozen.collate([row for sample in prepared for row in windows_of(sample)])
        return {**batch, **word_inputs(prepared, self._tap, batch["attention_mask"].shape[1])}

    def length(self, prepared: Any) -> int:
        """What a prepared sample costs, in the model's own units."""
        return sum(self.frozen.length(row) for row in windows_of(prepared))

    def _without_graph(self) -> AbstractContextManager[Any]:
        """While the head alone trains, no graph of the backbone; a frozen model's inputs may have a gradient."""
        trains = any(parameter.requires_grad for parameter in self.backbone.parameters())
        return nullcontext() if trains or not self._trains else torch.no_grad()

    def inputs(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Texts, pairs, paths or bytes of images as one batch on the model's device.

        Raises
        ------
        DataError
            One of them cannot be used.
        """
        prepared = self.frozen.prepare([_payload(sample, self._modality) for sample in samples])
        for number, part in enumerate(prepared):
            if isinstance(part, SampleError):
                raise DataError(f"sample {number} cannot be used: {part}")
        device = next(self.parameters()).device
        return {name: tensor.to(device) for name, tensor in self.collate(prepared).items()}

    # -- what of it trains

    def find_unread(self, batch: Mapping[str, Tensor]) -> frozenset[str]:
        """The backbone's parameters that no logit depends on (classifiers, poolers); they are never trained."""
        self.blocks, self._module_depths  # noqa: B018 - looked at before adapters stand between them
        self.backbone.requires_grad_(True)
        self.backbone.eval()
        torch.autograd.backward(self.features(batch).sum())
        self._unread = frozenset(n for n, p in self.backbone.named_parameters() if p.grad is None)
        self.zero_grad(set_to_none=True)
        self.backbone.requires_grad_(False)
        return self._unread

    def train_from(self, depth: int) -> None:
        """Train what lies at this depth and behind it, and the head; nothing before it changes in any way.

        A depth of 0 is everything, ``n_blocks + 2`` the head alone.
        """
        self._first, self._trains = depth, True
        for name, parameter in self.backbone.named_parameters():
            at = self.depths.of_parameter.get(name.replace(ADAPTED, "."))
            # What the depths do not know was put in later: adapters, which train.
            parameter.requires_grad_(at is None or (at >= depth and name not in self._unread))
        self.head.requires_grad_(True)

    def train_phase(self, phase: Phase) -> None:
        """Train what a phase says; see `train_from`."""
        self.train_from(phase.first_depth(self.depths.n_blocks))

    def parts(self, phase: Phase) -> list[tuple[str, nn.Module, float]]:
        """Backbone and head, with the peak learning rate that each has in a phase."""
        return [("backbone", self.backbone, phase.lr), ("head", self.head, phase.head_lr)]

    def train(self, mode: bool = True) -> Self:
        """Training mode for what trains; batch norms and dropout of what is frozen stay as they are."""
        super().train(mode and self._trains)
        if self.training and not (self._first == 0 and self.live_statistics):
            for name, module in self.backbone.named_modules():
                is_frozen = self._module_depths.get(name, self._first) < self._first
                if is_frozen or (isinstance(module, BATCH_NORMS) and not self.live_statistics):
                    module.training = False
        return self

    def groups(
        self, lr: float, head_lr: float, layer_decay: float, weight_decay: float
    ) -> list[dict[str, Any]]:
        """What trains, each parameter in one group: the learning rate falls from layer to layer towards the input.

        Biases, norms and other vectors have no weight decay.
        """
        top = self.depths.n_blocks + 1
        found: dict[tuple[float, float], list[str]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            depth = self.depths.of_parameter.get(name.removeprefix(BACKBONE), top)
            rate = head_lr if name.startswith(HEAD) else lr * layer_decay ** (top - depth)
            found.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(name)
        return [{"names": names, "lr": rate, "weight_decay": decay} for (rate, decay), names in found.items()]

    # -- how much of it there is

    @property
    def parameter_counts(self) -> dict[str, dict[str, int]]:
        """How many numbers are learnt and how many are frozen, of the backbone, the head and both.

        Returns
        -------
        dict
            ``{"backbone": {"total", "trainable", "frozen"}, "head": …, "all": …}``; what is known and
            never learnt (means, running statistics) is not counted. The backbone is counted whole, with a
            classifier or a pooler of its own that the head does not read.
        """
        parts = {"backbone": self.backbone, "head": self.head, "all": self}
        return {name: counts_of(part.parameters()) for name, part in parts.items()}

    def table(self) -> str:
        """The same as lines to print."""
        rows: list[list[str | int]] = [
            [name, *counts.values()] for name, counts in self.parameter_counts.items()
        ]
        return "\n".join(columns(["", "total", "trainable", "frozen"], rows))


def counts_of(parameters: Iterable[nn.Parameter]) -> dict[str, int]:
    """Total, trainable and frozen numbers of parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in parameters]
    trainable = sum(size for size, trains in sizes if trains)
    total = sum(size for size, _ in sizes)
    return {"total": total, "trainable": trainable, "frozen": total - trainable}


def whole_model(
    predictor: Predictor,
    features: Mapping[str, Json],
    progress: Progress,
    trainable: bool = False,
    device: str = "cpu",
    offline: bool = False,
) -> WholeModel:
    """The backbone that a run names, and its head; see `headstart.load_module`."""
    head = single_head(predictor, features)
    frozen = open_whole(features, progress, offline).load(device, "fp32")
    tap = str(features["recipe"]["tap"])
    return WholeModel(frozen, tap, head.module, features["modality"], trainable)


def single_head(predictor: Predictor, features: Mapping[str, Json]) -> PlainHead:
    """The head as layers; an error if it reads more than one vector of one backbone, or is no chain of layers."""
    tap = str(features["recipe"]["tap"])
    if predictor.head.kind == "decoder":
        raise ConfigError(
            "this run writes texts, and is no network from inputs to logits of labels; headstart export gives it as a "
            "model of transformers"
        )
    if predictor.takes_passages:
        raise ConfigError(
            "this head answers questions from all tokens of a context, whose windows are put together on the way; "
            "headstart export --to hf makes a model for question answering of it"
        )
    if len(parts := features.get("parts", [])) > 1:
        read = ", ".join(f"{part['backbone']} {display_tap(part['tap'])}" for part in parts)
        raise ConfigError(
            f"this head reads {len(parts)} features side by side ({read}), which is no one network; fit one on "
            "a single tap of a single backbone"
        )
    if is_of_words(tap):
        return plain_head(predictor)
    if "windows" in features["recipe"]:
        raise ConfigError(
            "this head reads means over the windows of a text (--on-long windows), which no single pass of a network "
            "gives; predict and evaluate do it as the run says, or fit a head on texts that are cut"
        )
    if is_ragged(tap) or predictor.head.takes_sequences:
        raise ConfigError(
            f"this head reads all positions ({display_tap(tap)}), and only heads over one vector a sample can be "
            "made one network with their backbone; fit one on a pooled tap, such as last.mean"
        )
    return plain_head(predictor)


def open_whole(features: Mapping[str, Json], progress: Progress, offline: bool = False) -> Backbone:
    """The run's backbone, to be loaded; what float32 cannot repeat is said."""
    opened = reopen(features, Cache(), progress, offline)
    recipe = features["recipe"]
    if recipe["compute"] != "fp32" or recipe["stored"] != "float32":
        progress.say(
            f"the features were computed in {recipe['compute']} and stored as {recipe['stored']}; as one network "
            "it computes in float32, and its logits differ by that rounding"
        )
    return opened.backbone()


def _payload(sample: Any, modality: Modality) -> Payload:
    """A sample as sources give it: images as bytes, pairs as tuples."""
    match modality:
        case "text":
            return str(sample)
        case "words":
            return split_words(sample) if isinstance(sample, str) else Words(list(map(str, sample)))
        case "text-pair":
            return str(sample[0]), str(sample[1])
        case "image-text":
            return _image(sample[0]), str(sample[1])
    return _image(sample)


def _image(sample: Any) -> bytes:
    if isinstance(sample, bytes):
        return sample
    try:
        return Path(sample).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {sample}: {error.strerror}") from error
