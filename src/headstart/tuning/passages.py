"""Questions with contexts through a whole network: windows of a pair as rows of a batch, their tokens put together.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from headstart.backbones.pooling import UNIT, reads_of
from headstart.tasks.spans import MASKED
from headstart.training.examples import MAY_ANSWER
from headstart.tuning.whole_model import WholeModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.token_rows import Windows
    from headstart.tuning.samples import RawSamples

AT_ONCE = 8
"""Samples that go through the network together once it is trained."""
TAKEN, KINDS = "taken", "kinds"
"""Beside a model's inputs: which position each token of a pair is taken from, and what it is; both (B, L)."""


def _padded(rows: Sequence[NDArray[np.int64]]) -> Tensor:
    """Rows of whole numbers (B, L), 0 behind the end of each."""
    found = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return torch.from_numpy(found)


class PassageNetwork(WholeModel):
    """A backbone with a head over all tokens of pairs: logits are scores of start and end, (B, L, 2).

    The tap is of tokens, and the head from vectors (B, L, D) to scores. A sample is as many rows of a batch as it has
    windows.
    """

    longest: int = 0
    """Scores that are judged together are filled up to so many tokens."""

    def collate(self, prepared: Sequence[Windows]) -> dict[str, Tensor]:
        """All windows as one batch (W, T), with `TAKEN` and `KINDS`."""
        batch = self.frozen.collate([row for windows in prepared for row in windows.rows])
        width, first, taken, kinds = batch["attention_mask"].shape[1], 0, [], []
        for windows in prepared:
            assert windows.stitching is not None
            stretches = enumerate(windows.stitching.takes, first)
            taken.append(np.concatenate([np.arange(*take) + row * width for row, take in stretches]))
            places = np.array(windows.stitching.places).reshape(-1, 2)
            may_answer = places[:, 1] > places[:, 0]
            may_answer[:1] = True  # stands for no answer
            kinds.append(np.where(may_answer, MAY_ANSWER, 1))
            first += len(windows.rows)
        return {**batch, TAKEN: _padded(taken), KINDS: _padded(kinds)}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Scores, shape (B, L, 2), the lowest where no answer can be."""
        scores: Tensor = self.head(self.features(batch))
        may_answer = (batch[KINDS] == MAY_ANSWER).unsqueeze(-1)
        found = torch.where(may_answer, scores, torch.full_like(scores[:1, :1, :1], MASKED))
        n_lacking = 0 if self.training else max(self.longest - found.shape[1], 0)
        return pad(found, (0, 0, 0, n_lacking), value=MASKED)

    def _read(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The tokens of pairs, shape (B, L, D)."""
        [layer] = reads_of([self._tap])
        own = {name: part for name, part in batch.items() if name not in (TAKEN, KINDS)}
        hidden = self.frozen.forward(own, [layer]).layers[layer].hidden.float()
        taken = batch[TAKEN]
        tokens = hidden.flatten(0, 1)[taken.flatten()].view(*taken.shape, -1)
        return normalize(tokens, dim=-1) if self._tap.endswith(UNIT) else tokens


@dataclass(frozen=True)
class TunedTokens:
    """The tokens of questions with contexts as a tuned network has them, computed whenever they are asked for."""

    samples: RawSamples
    width: int
    longest: int

    def __len__(self) -> int:
        return len(self.samples)

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """See `headstart.heads.sequences.Sequences.padded`."""
        values: list[NDArray[np.float32]] = [np.empty((0, self.width), dtype=np.float32)] * len(rows)
        costs = [self.samples.model.length(one) for one in self.samples.prepared(rows.tolist())]
        order = np.argsort(costs, kind="stable")  # so that little is padded
        for start in range(0, len(order), AT_ONCE):
            places = order[start : start + AT_ONCE].tolist()
            for place, own in zip(places, self._tokens(rows[places].tolist()), strict=True):
                values[place] = own
        lengths = np.array(list(map(len, values)))
        found = np.zeros((len(rows), int(lengths.max(initial=1)), self.width), dtype=np.float32)
        for place, own in enumerate(values):
            found[place, : len(own)] = own
        return found, np.arange(found.shape[1]) < lengths[:, None]

    def _tokens(self, rows: list[int]) -> Iterator[NDArray[np.float32]]:
        """Those of each of a few samples."""
        model, batch = self.samples.model, self.samples.inputs(rows)
        model.eval()
        with torch.inference_mode():
            tokens = model.features(batch).float().cpu().numpy()
        lengths = (batch[KINDS] > 0).sum(dim=1).tolist()
        return (own[:n] for own, n in zip(tokens, lengths, strict=True))
