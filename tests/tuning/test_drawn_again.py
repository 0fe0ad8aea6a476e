"""The plots of a fine-tuned run are drawn again from its directory, all but those of features that are kept nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_phases_and_predictions_are_drawn_again_to_the_byte(tuned: Any, tmp_path: Path) -> None:
    tuned("gradual", unfreeze=["0", "1"], epochs=[1, 2], plots="png").save(tmp_path / "run")
    written = {path.name: path.read_bytes() for path in (tmp_path / "run" / "plots").iterdir()}
    plots = hs.draw_plots(tmp_path / "run")
    assert {f"{name}.png" for name in plots} == set(written) - {"features.png"}
    assert all(plot.png() == written[f"{name}.png"] for name, plot in plots.items())
    schedule = hs.draw_plots(tmp_path / "run", only="schedule")["schedule"]
    assert "learning rate" in schedule.svg().decode("utf-8")
    with pytest.raises(ConfigError, match="model/backbone"):
        hs.draw_plots(tmp_path / "run", only="tsne")
