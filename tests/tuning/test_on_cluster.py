"""Sweeps whose trials are spread over a Ray cluster, by the command, on nodes that die."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..processes import Process, start
from ..raylets import add_nodes, head, on

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Any]:
    with head() as made:
        yield made


def ended(process: Process) -> Any:
    out, err = process.communicate()
    assert "Traceback" not in err
    assert process.wait() == 0, err
    return json.loads(out.strip().splitlines()[-1])


def test_a_training_whose_node_dies_goes_on_where_it_was(
    cluster: Any, texts: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("optuna")
    nodes = add_nodes(cluster, 2)
    process = start(
        "fine-tune", texts, "--backbone", f"hf:{tiny_bert}", "--cache", "shared", "--strategy", "last:1",
        "--epochs", 60, "--sweep", "lr=1e-5..1e-2:4", "--out", "run", "--plots", "none", "--json", *on(cluster, 2),
    )  # fmt: skip
    while process.poll() is None and not list(Path().glob("**/trial-*/phase-1.safetensors")):
        time.sleep(0.05)
    cluster.remove_node(nodes[0], allow_graceful=False)
    report = ended(process)
    trials = report["sweep"]["trials"]
    assert [trial["params"]["lr"] for trial in trials] == [1e-05, 0.0001, 0.001, 0.01]
    assert not any(trial["diverged"] for trial in trials)
    assert report["sweep"]["best"] in [trial["params"] for trial in trials]
    assert Path("run", "report.json").exists()


def test_optuna_and_heads_over_a_cluster(
    cluster: Any, texts: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("optuna")
    add_nodes(cluster, 2)
    common = ("--cache", "shared", "--plots", "none", "--json", *on(cluster, 2))
    tuned = ended(
        start(
            "fine-tune", texts, "--backbone", f"hf:{tiny_bert}", "--set", "s", "--strategy", "last:1", "--epochs", 3,
            "--sweep", "lr=1e-6..1e-2", "--search", "optuna", "--trials", 6, "--out", "tuned", *common,
        )
    )  # fmt: skip
    assert len(tuned["sweep"]["trials"]) == 6
    fitted = ended(
        start("fit-head", "s", "--sweep", "head=ridge,logistic,linear", "--out", "fitted", *common)
    )
    alone = ended(
        start(
            "fit-head", "s", "--sweep", "head=ridge,logistic,linear", "--out", "alone", "--cache", "shared",
            "--plots", "none", "--json",
        )
    )  # fmt: skip
    assert fitted["sweep"]["best"] == alone["sweep"]["best"]
    assert [trial["params"] for trial in fitted["sweep"]["trials"]] == [
        trial["params"] for trial in alone["sweep"]["trials"]
    ]
