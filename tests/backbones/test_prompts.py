"""What the authors of a model put before queries and documents is asked of the backbone, without its weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.backbones import BackboneOptions, DeclaredPrompts, declared_prompts, open_backbone
from headstart.errors import ConfigError, WeightsUnavailableError

from .tiny_texts import HIDDEN, save_model, save_sentence_model

PROMPTS = {"query": "find: ", "passage": "text: ", "Classification": "sort: "}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sentence model with prompts, one without, and a model of transformers alone."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    root = tmp_path_factory.mktemp("prompts")
    plain = save_model(root / "plain", "bert")
    return {
        "plain": plain,
        "prompted": save_sentence_model(root / "prompted", plain, Pooling(HIDDEN), prompts=PROMPTS),
        "unprompted": save_sentence_model(root / "unprompted", plain, Pooling(HIDDEN)),
    }


def prompts(spec: str, **options: object) -> DeclaredPrompts:
    return declared_prompts(open_backbone(spec, BackboneOptions(**options)))  # type: ignore[arg-type]


def test_the_prompts_of_a_folder(folders: dict[str, Path]) -> None:
    found = prompts(f"hf:{folders['prompted']}")
    assert (found.query, found.document, found.default) == ("find: ", "text: ", None)
    assert found.by_name["Classification"] == "sort: "
    for name in ("plain", "unprompted"):
        found = prompts(f"hf:{folders[name]}")
        assert (found.query, found.document, found.default) == (None, None, None)


def test_a_model_whose_description_alone_names_them(folders: dict[str, Path], tmp_path: Path) -> None:
    """E5 and BGE declare nothing; a copy of them is known by its folder, and what a folder declares comes first."""
    copy = shutil.copytree(folders["unprompted"], tmp_path / "e5-small-v2")
    assert (prompts(f"hf:{copy}").query, prompts(f"hf:{copy}").document) == ("query: ", "passage: ")
    assert prompts("hf:BAAI/bge-small-en-v1.5", offline=True).query is not None
    for other in ("multilingual-e5-large-instruct", "bge-m3", "my-e5-small"):
        shutil.copytree(folders["unprompted"], tmp_path / other)
        assert prompts(f"hf:{tmp_path / other}").query is None
    shutil.copytree(folders["prompted"], tmp_path / "e5-base")
    assert prompts(f"hf:{tmp_path / 'e5-base'}").query == "find: "


def test_a_model_that_is_not_here_is_not_said_to_have_none() -> None:
    with pytest.raises(
        WeightsUnavailableError, match=r"no-such/model is not on this machine.*give the prompt"
    ):
        prompts("hf:no-such/model", offline=True)


def test_backbones_that_take_no_prompt_have_none() -> None:
    assert prompts("timm:resnet10t.c3_in1k") == DeclaredPrompts()


def test_no_weights_are_loaded_for_them(folders: dict[str, Path]) -> None:
    spec = f"hf:{folders['prompted']}"
    code = (
        "import sys\n"
        "from headstart.backbones import BackboneOptions, declared_prompts, open_backbone\n"
        f"print(declared_prompts(open_backbone({spec!r}, BackboneOptions())).query)\n"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.splitlines() == ["find: ", "False"], found.stderr


def test_a_prompt_is_asked_for_by_its_name_even_where_only_the_description_names_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    def words(folder: Path, asked: str) -> str | None:
        return open_backbone(f"hf:{folder}", BackboneOptions(prompt=asked)).resolve().prompt

    e5 = shutil.copytree(folders["unprompted"], tmp_path / "e5-small-v2")
    assert words(folders["prompted"], "query") == "find: "
    assert (words(e5, "passage"), words(e5, "query"), words(e5, "passage: ")) == (
        "passage: ",
        "query: ",
        "passage: ",
    )
    assert words(e5, "a photo of ") == "a photo of "
    with pytest.raises(ConfigError, match=r"no prompt named 'document', only query, passage; give the words"):
        words(e5, "document")
    with pytest.raises(
        ConfigError, match=r"no prompt named 'passage', none at all.*\('passage: '\), or leave it out"
    ):
        words(folders["plain"], "passage")
