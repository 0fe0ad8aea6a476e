"""Backbone and head as one torch module, from model inputs to logits.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from headstart.backbones.freezing import enable_gradients
from headstart.backbones.pooling import display_tap, is_ragged, pool, reads_of
from headstart.errors import ConfigError, DataError, SampleError
from headstart.extraction.backbone import cache_of, reopen
from headstart.heads.plain import plain_head

if TYPE_CHECKING:
    from headstart.contracts import Backbone, FrozenModel, Progress
    from headstart.heads.plain import PlainHead
    from headstart.heads.predictor import Predictor
    from headstart.types import Json, Modality, Payload


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
    modality : {"image", "text", "text-pair", "image-text"}
        What `inputs` is given.
    trainable : bool
        False: no weight has a gradient and nothing is in training mode, whatever `train` says. True: all
        weights have one; it starts in eval mode, so call `train`.
    """

    def __init__(
        self, frozen: FrozenModel, tap: str, head: nn.Module, modality: Modality, trainable: bool = False
    ) -> None:
        super().__init__()
        self._frozen = frozen
        self._modality = modality
        self._tap = tap
        self._trainable = trainable
        self.backbone = enable_gradients(frozen.module, trainable)
        self.head = head.to(frozen.device).requires_grad_(trainable)
        self.eval()

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits, shape (B, n_outputs), of what `inputs` gave."""
        activations = self._frozen.forward(batch, reads_of([self._tap]))
        logits: Tensor = self.head(pool(activations, self._tap))
        return logits

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for a frozen model, whose batch norms and dropout stay as they are."""
        return super().train(mode and self._trainable)

    def inputs(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Texts, pairs, paths or bytes of images as one batch on the model's device.

        Raises
        ------
        DataError
            One of them cannot be used.
        """
        prepared = self._frozen.prepare([_payload(sample, self._modality) for sample in samples])
        for number, part in enumerate(prepared):
            if isinstance(part, SampleError):
                raise DataError(f"sample {number} cannot be used: {part}")
        device = next(self.parameters()).device
        return {name: tensor.to(device) for name, tensor in self._frozen.collate(prepared).items()}

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
        return parameter_table(self.parameter_counts)


def counts_of(parameters: Iterable[nn.Parameter]) -> dict[str, int]:
    """Total, trainable and frozen numbers of parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in parameters]
    trainable = sum(size for size, trains in sizes if trains)
    total = sum(size for size, _ in sizes)
    return {"total": total, "trainable": trainable, "frozen": total - trainable}


def parameter_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Counts of parameters as lines, a row for each part.

    Examples
    --------
    >>> print(parameter_table({"head": {"total": 1540, "trainable": 1540, "frozen": 0}}))
          total  trainable  frozen
    head  1,540      1,540       0
    """
    columns = ("total", "trainable", "frozen")
    rows = [("", *columns)] + [
        (name, *(f"{of[column]:,}" for column in columns)) for name, of in counts.items()
    ]
    first, *others = (max(map(len, cells)) for cells in zip(*rows, strict=True))
    lines = (
        [name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))]
        for name, *cells in rows
    )
    return "\n".join("  ".join(line) for line in lines)


def whole_model(
    predictor: Predictor,
    features: Mapping[str, Json],
    progress: Progress,
    trainable: bool = False,
    device: str = "cpu",
    offline: bool = False,
) -> WholeModel:
    """The backbone that a run names, and its head.

    Raises
    ------
    ConfigError
        They cannot be one network: the head is none, or reads several features, or all positions.
    MismatchError
        The backbone is not the one that the head was fitted on.
    """
    head = single_head(predictor, features)
    frozen = open_whole(features, progress, offline).load(device, "fp32")
    tap = str(features["recipe"]["tap"])
    return WholeModel(frozen, tap, head.module, features["modality"], trainable)


def single_head(predictor: Predictor, features: Mapping[str, Json]) -> PlainHead:
    """The head as layers, if it reads one vector of one backbone.

    Raises
    ------
    ConfigError
        It does not, or is no chain of layers.
    """
    tap = str(features["recipe"]["tap"])
    if len(parts := features.get("parts", [])) > 1:
        read = ", ".join(f"{part['backbone']} {display_tap(part['tap'])}" for part in parts)
        raise ConfigError(
            f"this head reads {len(parts)} features side by side ({read}), which is no one network; fit one on "
            "a single tap of a single backbone"
        )
    if is_ragged(tap) or predictor.head.takes_sequences:
        raise ConfigError(
            f"this head reads all positions ({display_tap(tap)}), and only heads over one vector a sample can be "
            "made one network with their backbone; fit one on a pooled tap, such as last.mean"
        )
    return plain_head(predictor)


def open_whole(features: Mapping[str, Json], progress: Progress, offline: bool = False) -> Backbone:
    """The run's backbone, to be loaded; what float32 cannot repeat is said."""
    opened = reopen(features, cache_of(features), progress, offline)
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
