"""Where a run says that its backbone lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.registry.run import place_backbone


@pytest.mark.parametrize(
    ("located", "weights", "is_moved"),
    [
        ("hf:@run", None, True),
        ("timm:resnet18", "@run/model.safetensors", True),
        ("hf:/data/@runs/bert", None, False),
        ("timm:resnet18", "/data/@run/model.safetensors", False),
    ],
)
def test_only_a_backbone_of_the_run_itself_moves_with_it(
    tmp_path: Path, located: str, weights: str | None, is_moved: bool
) -> None:
    given: dict[str, Any] = {"weights": weights} if weights else {}
    features = {"backbone": "x", "located": located, "options": {**given, "max_length": 7, "prompt": "@run "}}
    placed = place_backbone(features, tmp_path)
    assert placed["options"]["max_length"] == 7
    assert placed["options"]["prompt"] == "@run "
    where = str(tmp_path.resolve())
    if not is_moved:
        assert (placed["located"], placed["options"].get("weights")) == (located, weights)
    elif weights:
        assert placed["options"]["weights"] == f"{where}/model.safetensors"
    else:
        assert placed["located"] == f"hf:{where}"
