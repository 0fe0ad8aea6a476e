"""Where a run goes if nobody says it: never into the place of a run of other options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.config import FitConfig, TuneConfig
from headstart.registry.default_place import default_place


def keep(place: Path, config: Any) -> Path:
    """What a run leaves, as far as its options go."""
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(config.dump(), "utf-8")
    return place


def fit(**options: Any) -> FitConfig:
    return FitConfig(**{"set": "s", "head": "ridge", "label": "label", "tap": "last.mean", **options})


def test_the_place_of_the_same_options_is_its_own(tmp_path: Path) -> None:
    assert default_place("s-ridge", fit(), tmp_path) == tmp_path / "s-ridge"
    keep(tmp_path / "s-ridge", fit(cache="somewhere", plots="svg", digest="0" * 16))
    assert default_place("s-ridge", fit(), tmp_path) == tmp_path / "s-ridge"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"label": "topic"}, "s-ridge-topic"),
        ({"tap": "2.mean"}, "s-ridge-2.mean"),
        ({"tap": ["2.mean", "last.mean"], "label": "topic"}, "s-ridge-topic-2.mean-last.mean"),
        ({"params": {"alpha": 0.5}}, "s-ridge-alpha-0.5"),
        ({"prepare": ["l2"]}, "s-ridge-prepare-l2"),
        ({"calibrate": False}, "s-ridge-no-calibrate"),
        ({"seed": 3}, "s-ridge-seed-3"),
        ({"label": "a/b: c"}, "s-ridge-a-b-c"),
        ({"backbone": "timm:vit_tiny"}, "s-ridge-vit_tiny"),
    ],
)
def test_other_options_have_a_place_of_their_own(tmp_path: Path, options: dict[str, Any], name: str) -> None:
    keep(tmp_path / "s-ridge", fit())
    place = default_place("s-ridge", fit(**options), tmp_path)
    assert place == tmp_path / name
    keep(place, fit(**options))
    assert default_place("s-ridge", fit(**options), tmp_path) == place
    assert default_place("s-ridge", fit(), tmp_path) == tmp_path / "s-ridge"


def test_where_words_do_not_tell_runs_apart_numbers_do(tmp_path: Path) -> None:
    keep(tmp_path / "s-ridge", fit(params={"alpha": 0.5}))
    assert default_place("s-ridge", fit(), tmp_path) == tmp_path / "s-ridge-2"
    keep(tmp_path / "s-ridge-2", fit())
    assert default_place("s-ridge", fit(), tmp_path) == tmp_path / "s-ridge-2"


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s-ridge").mkdir()
    assert default_place("s-ridge", fit(), tmp_path) == tmp_path / "s-ridge"  # an empty folder is free
    (tmp_path / "s-ridge" / "thesis.txt").write_text("mine")
    assert (
        default_place("s-ridge", fit(), tmp_path) == tmp_path / "s-ridge"
    )  # and whoever writes there is refused


def test_a_training_that_was_interrupted_keeps_its_place(tmp_path: Path) -> None:
    from headstart.tuning.state import write_settings

    asked = TuneConfig(data="s", epochs=[3])
    write_settings(tmp_path / ".s-full.training", asked)
    assert json.loads((tmp_path / ".s-full.training" / "settings.json").read_text())["epochs"] == [3]
    assert default_place("s-full", asked, tmp_path) == tmp_path / "s-full"
    other = TuneConfig(data="s", epochs=[4])
    assert default_place("s-full", other, tmp_path) == tmp_path / "s-full-epochs-4"
