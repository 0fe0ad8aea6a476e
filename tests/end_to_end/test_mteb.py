"""mteb's own tasks give an Embedder the scores that they give sentence-transformers, and a second run loads nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headstart as hs

from ..backbones.tiny_texts import HIDDEN, save_model, save_sentence_model
from .local_tasks import TASKS, score

pytestmark = pytest.mark.slow
PROMPTS = {"query": "find: ", "document": "text: ", "STS": "compare: "}
COUNTED = """
import json, sys
import torch, transformers
import headstart as hs

counts = {"weights": 0, "passes": 0}
load, call = transformers.PreTrainedModel.from_pretrained.__func__, torch.nn.Module.__call__

def counted_load(*arguments, **options):
    counts["weights"] += 1
    return load(*arguments, **options)

def counted_call(*arguments, **options):
    counts["passes"] += 1
    return call(*arguments, **options)

transformers.PreTrainedModel.from_pretrained = classmethod(counted_load)
torch.nn.Module.__call__ = counted_call
sys.path[:0] = sys.argv[3:]
from tests.end_to_end.local_tasks import TASKS, score

embedder = hs.Embedder(sys.argv[1], cache=sys.argv[2])
print(json.dumps({"scores": {name: score(embedder, name) for name in TASKS}, **counts}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling

    pytest.importorskip("mteb")
    root = tmp_path_factory.mktemp("model")
    bert = save_model(root / "bert", "bert")
    return save_sentence_model(root / "tiny", bert, Pooling(HIDDEN), prompts=PROMPTS)


def _counted(*arguments: str) -> Any:
    found = subprocess.run([sys.executable, "-c", COUNTED, *arguments], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.parametrize("task", TASKS)
def test_scores_are_those_of_sentence_transformers(model: Path, task: str) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = score(SentenceTransformer(str(model), device="cpu"), task)
    assert score(hs.Embedder(f"hf:{model}"), task) == pytest.approx(theirs, abs=1e-3)


def test_a_second_run_loads_no_weights_and_makes_no_pass(model: Path, cache_root: Path) -> None:
    arguments = (f"hf:{model}", str(cache_root), str(Path(__file__).parents[2]))
    first, second = (_counted(*arguments) for _ in range(2))
    assert first["weights"]
    assert first["passes"]
    assert (second["weights"], second["passes"]) == (0, 0)
    assert second["scores"] == first["scores"]


def test_results_that_mteb_keeps_are_of_one_recipe(model: Path, tmp_path: Path) -> None:
    """Another prompt or length is another revision, so that mteb takes no score for that of another model."""
    from mteb.cache import ResultCache
    from mteb.models.models_protocols import EncoderProtocol

    results = ResultCache(tmp_path / "results")
    embedder = hs.Embedder(f"hf:{model}")
    assert isinstance(embedder, EncoderProtocol)
    before = score(embedder, "sts", cache=results)
    assert score(hs.Embedder(f"hf:{model}"), "sts", cache=results) == pytest.approx(before, abs=1e-5)
    changes = ({"prompts": {"STS": "other: "}}, {"max_length": 8}, {"prompt": "x"}, {"normalize": True})
    metas = [hs.Embedder(f"hf:{model}", **change).mteb_model_meta for change in changes]  # type: ignore[arg-type]
    revisions = {embedder.mteb_model_meta.revision, *(meta.revision for meta in metas)}
    assert len(revisions) == 5
    assert {meta.name for meta in metas} == {"headstart/tiny"}


def test_names_of_prompts_are_looked_up_as_mteb_does(model: Path) -> None:
    from types import SimpleNamespace

    from mteb.models.abs_encoder import get_prompt
    from mteb.types import PromptType

    from headstart.backbones import DeclaredPrompts
    from headstart.extraction.embedder_prompts import TextPrompts

    names = ("query", "document", "STS", "STS-query", "MyTask", "MyTask-document", "Retrieval-query")
    declared = {name: f"{name}: " for name in names}
    prompts = TextPrompts(lambda: DeclaredPrompts(declared), None, {})
    for name in ("MyTask", "OtherTask"):
        for kind in ("STS", "Retrieval", "Classification"):
            for role in (None, PromptType.query, PromptType.document):
                theirs = get_prompt(declared, SimpleNamespace(name=name, type=kind), role)
                assert prompts.of_task(name, kind, None if role is None else str(role)) == theirs
