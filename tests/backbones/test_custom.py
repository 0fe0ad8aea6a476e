"""The user's own backbones: what goes wrong in their code is said to be theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.backbones import BackboneOptions, open_backbone
from headstart.contracts import FrozenModel
from headstart.errors import BackboneError, ConfigError

from .opening import run_model

CODE = """
import torch

class Made:
    modality, version = "text", "1"

    def __init__(self):
        self.module = torch.nn.Linear(4, 2)

    def prepare(self, text):
        return {prepared}

    def forward(self, batch):
        return {output}

def make():
    return Made()
"""


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, prepared: str, output: str) -> FrozenModel:
    (folder / f"{name}.py").write_text(CODE.format(prepared=prepared, output=output))
    monkeypatch.syspath_prepend(folder)
    return open_backbone(f"py:{name}:make", BackboneOptions()).load("cpu", "fp32")


@pytest.mark.parametrize(
    ("name", "prepared", "output", "says"),
    [
        (
            "ragged",
            "torch.ones(len(text))",
            "self.module(batch)",
            "a batch of 2: RuntimeError: stack expects",
        ),
        ("lists", "[1, 2, 3, 4]", "self.module(batch)", "TypeError: expected Tensor"),
        ("raises", "torch.ones(4)", "batch.no_such_thing", "AttributeError: .*no_such_thing"),
        ("gives_lists", "torch.ones(4)", "batch.tolist()", "gave a list"),
        ("gives_maps", "torch.ones(4)", "batch[None, None]", r"shape \(1, 1, 2, 4\)"),
    ],
)
def test_trouble_in_it_is_named_with_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, prepared: str, output: str, says: str
) -> None:
    model = load(tmp_path, monkeypatch, name, prepared, output)
    with pytest.raises(BackboneError, match=f"py:{name}:make .*{says}"):
        run_model(model, model.prepare(["a", "bc"]))


def test_integers_stay_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, monkeypatch, "counts", "torch.tensor([len(text)])", "batch.float()")
    assert run_model(model, model.prepare(["a", "bc"])).whole["pooler"].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("unwritten", "def make(:", "cannot be imported: SyntaxError"),
        ("divides", "1 / 0", "cannot be imported: ZeroDivisionError"),
        ("lacks", "", "cannot be imported: AttributeError: .* 'make'"),
        (
            "no_module",
            "class make: module, modality, version, prepare = 1, 'text', '1', str",
            "whose module is a int, and no torch.nn.Module",
        ),
    ],
)
def test_a_file_that_makes_no_backbone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str, says: str
) -> None:
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=f"py:{name}:make .*{says}"):
        open_backbone(f"py:{name}:make", BackboneOptions()).resolve()


def test_a_reason_is_the_same_in_every_run() -> None:
    """What a library says of a buffer holds its address; the set must not change for that."""
    from headstart.backbones import BackboneOptions, open_backbone

    model = open_backbone("py:tests.end_to_end.tiny_backbones:images", BackboneOptions()).load("cpu", "fp32")
    first, second = (str(model.prepare([b"no image"])[0]) for _ in range(2))
    assert first == second
    assert " at 0x" not in first
