"""A run that writes texts as a folder that transformers loads: encoder and decoder together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from headstart.backbones.freezing import weights_digest
from headstart.backbones.hf.models import quietly
from headstart.backbones.portable import open_writer
from headstart.errors import ConfigError, HeadstartError
from headstart.exporting.model import TEXTS, TOLERANCE, largest_error
from headstart.heads.sequences import Sequences
from headstart.tuning.whole_model import open_whole

if TYPE_CHECKING:
    from headstart.backbones.hf.writers import Writer
    from headstart.contracts import FrozenModel, Progress
    from headstart.heads.decoder import DecoderHead
    from headstart.types import Json

SAMPLES = (*TEXTS[:4], "2026-11-29", "1024")
"""What the run and what was written are held against each other on."""


MOST = 32
"""Tokens along which logits are compared."""


@dataclass(frozen=True)
class WritingRun:
    """The parts of a run that writes texts, put together again."""

    head: DecoderHead
    frozen: FrozenModel
    writer: Writer
    save_inputs: Any
    prompt: str
    max_length: int

    @classmethod
    def open(
        cls, head: DecoderHead, features: Mapping[str, Json], progress: Progress, offline: bool
    ) -> WritingRun:
        """The encoder that the run read, with the decoder that it trained."""
        backbone: Any = open_whole(features, progress, offline)
        writer = open_writer(backbone)
        state = {name: torch.from_numpy(array) for name, array in head.tensors().items()}
        unknown = writer.net.load_state_dict(state, strict=False).unexpected_keys
        if unknown:
            raise HeadstartError(f"the decoder of the run does not fit {features['backbone']} ({unknown[0]})")
        writer.net.generation_config = head.writer.generation(head.num_beams, head.max_new_tokens)
        return cls(
            head, backbone.load("cpu", "fp32"), writer, backbone.writer_saver(writer),
            str(features["recipe"].get("prompt") or ""), int(features["recipe"]["max_length"]),
        )  # fmt: skip

    def states(self) -> Sequences:
        """What the run reads of the trial texts."""
        batches = [self.frozen.collate([row]) for row in self.frozen.prepare(list(SAMPLES))]
        found = [self.frozen.forward(batch, ["final"]).layers["final"] for batch in batches]
        kept = [part.hidden[0] if part.mask is None else part.hidden[0][part.mask[0]] for part in found]
        lengths = torch.tensor([0, *map(len, kept)])
        return Sequences(torch.cat(kept).float().numpy(), lengths.cumsum(0).numpy())


def write_writer(run: WritingRun, folder: Path) -> dict[str, Any]:
    """Write the model with its tokenizer into a folder, and hold what it writes against the run.

    Gives ``class``, ``remote_code`` (never needed) and ``largest_error`` of the logits along what the run writes, as a
    share of the largest. Raises `HeadstartError` if what was written does not write as the run does.
    """
    with quietly():
        run.save_inputs(folder)
    states = run.states()
    expected = run.head.predict(states).tolist()
    found, error = _written(run, folder, expected, states)
    if found != expected or not error <= TOLERANCE:
        first = next((pair for pair in zip(expected, found, strict=True) if pair[0] != pair[1]), ("", ""))
        raise HeadstartError(
            f"the exported model writes otherwise than the run ({first[1]!r:.40} for {first[0]!r:.40}; logits off by "
            f"{error:.2g} of the largest); nothing was written"
        )
    return {
        "class": type(run.writer.net).__name__,
        "remote_code": False,
        "decoder": weights_digest(run.head.writer.net),
        "largest_error": error,
    }


def _written(
    run: WritingRun, folder: Path, expected: list[str], states: Sequences
) -> tuple[list[str], float]:
    """What the written model writes of the trial texts, and how far its logits are from the run's."""
    import transformers

    here: dict[str, Any] = {"local_files_only": True}
    with quietly():
        net = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, **here).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **here)
    texts, errors = [], []
    for place, (text, target) in enumerate(zip(SAMPLES, expected, strict=True)):
        given = tokenizer(run.prompt + text, truncation=True, max_length=run.max_length, return_tensors="pt")
        with torch.inference_mode():
            ids = net.generate(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
            texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
            labels = torch.tensor([run.head.writer.tokens([target or text])[0][:MOST]])
            padded, there = states.padded(torch.tensor([place]).numpy())
            wanted = run.head.writer.logits(torch.from_numpy(padded), torch.from_numpy(there).long(), labels)
            logits = net(
                input_ids=given["input_ids"], attention_mask=given["attention_mask"], labels=labels
            ).logits
        errors.append(largest_error(logits, wanted))
    return texts, max(errors)


def check_writable(to: str) -> None:
    """Refuse formats that hold no encoder-decoder."""
    if to != "hf":
        raise ConfigError(f"a run that writes texts is exported with --to hf (got {to!r})")
