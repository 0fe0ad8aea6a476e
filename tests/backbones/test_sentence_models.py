"""A sentence-transformers folder gives what ``SentenceTransformer(folder).encode`` gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.backbones import BackboneOptions, open_backbone
from headstart.cache.recipe import make_recipe
from headstart.errors import BackboneError, ConfigError
from headstart.types import BackboneInfo

from ..variants import variants
from .conftest import TEXTS
from .test_parity import assert_equal, features
from .tiny_texts import HIDDEN, encode, rewrite, save_model, save_sentence_model

MODES = {
    "cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "sqrt", "weightedmean": "weighted",
    "lasttoken": "eos",
}  # fmt: skip
QUERY = "query: "
PROMPTS = {"query": QUERY, "passage": "passage of a text: "}


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("encoder") / "bert", "bert")


@pytest.fixture
def sentence_model(tmp_path: Path, encoder: Path) -> Callable[..., Path]:
    """Saves a folder of the modules that are given, after the encoder and its pooling."""

    def save(*after: Any, mode: Any = "mean", include_prompt: bool = True, **settings: Any) -> Path:
        from sentence_transformers.sentence_transformer.modules import Pooling

        pooling = Pooling(HIDDEN, pooling_mode=mode, include_prompt=include_prompt)
        return save_sentence_model(tmp_path / "sentence", encoder, pooling, *after, **settings)

    return save


def dense(n_out: int, **arguments: Any) -> Any:
    from sentence_transformers.base.modules.dense import Dense

    torch.manual_seed(n_out)
    return Dense(arguments.pop("n_in", HIDDEN), n_out, **arguments)


def normalize() -> Any:
    from sentence_transformers.base.modules.normalize import Normalize

    return Normalize()


def resolve(folder: Path, **options: Any) -> BackboneInfo:
    return open_backbone(f"hf:{folder}", BackboneOptions(**options)).resolve()


def assert_as_encoded(folder: Path, tap: str, given: dict[str, Any] | None = None, **arguments: Any) -> None:
    """The default tap has this name and gives the library's vectors."""
    assert resolve(folder, **given or {}).default_tap == tap
    assert_equal(features(f"hf:{folder}", TEXTS, tap, **given or {}), encode(folder, TEXTS, **arguments))


@pytest.mark.parametrize("mode", variants(MODES, {"cls", "mean", "weightedmean", "lasttoken"}))
def test_every_pooling(sentence_model: Callable[..., Path], mode: str) -> None:
    assert_as_encoded(sentence_model(mode=mode), f"final.{MODES[mode]}")


def test_several_poolings_are_joined_in_their_order(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(normalize(), mode=("max", "cls", "weightedmean"))
    assert_as_encoded(folder, "final.max+cls+weighted.l2")


def test_the_flags_of_older_versions(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model()
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True, "pooling_mode_lasttoken": True}
    (config,) = folder.glob("1_Pooling/config.json")
    config.write_text(json.dumps({"word_embedding_dimension": HIDDEN, **flags}))
    assert_as_encoded(folder, "final.cls+mean+eos")
    config.write_text(json.dumps({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": False}))
    assert_as_encoded(folder, "final.mean")


def test_normalised_by_default_and_plain_when_asked(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(normalize())
    assert_as_encoded(folder, "final.mean.l2")
    plain = features(f"hf:{folder}", TEXTS, "final.mean")
    rewrite_modules(folder, lambda modules: modules[:2])
    assert_equal(plain, encode(folder, TEXTS))


def test_normalising_changes_no_other_recipe(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(normalize())
    before = make_recipe(resolve(folder), "final.mean", "fp32", "float32")
    rewrite_modules(folder, lambda modules: modules[:2])
    assert resolve(folder).default_tap == "final.mean"
    assert make_recipe(resolve(folder), "final.mean", "fp32", "float32").id == before.id


def test_dense_layers(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(
        dense(24), dense(8, n_in=24, bias=False, activation_function=torch.nn.Identity()), mode=("mean",)
    )
    assert_as_encoded(folder, "sentence")
    assert features(f"hf:{folder}", TEXTS, "final.mean").shape == (len(TEXTS), HIDDEN)


def test_dense_layers_with_all_they_can_have(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(
        normalize(), dense(24, activation_function=torch.nn.GELU(), use_residual=True),
        dense(24, n_in=24, use_residual=True), normalize(), mode="cls",
    )  # fmt: skip
    assert_as_encoded(folder, "sentence.l2")


def test_dense_weights_of_a_torch_file(sentence_model: Callable[..., Path]) -> None:
    from safetensors.torch import load_file

    folder = sentence_model(dense(8), normalize())
    (weights,) = folder.glob("2_Dense/model.safetensors")
    before = resolve(folder)
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    assert_as_encoded(folder, "sentence.l2")
    assert resolve(folder).weights == before.weights


def test_dense_weights_are_weights_of_the_model(sentence_model: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = sentence_model(dense(8))
    (weights,) = folder.glob("2_Dense/model.safetensors")
    before = resolve(folder)
    state = load_file(weights)
    state["linear.bias"][0] += 1
    save_file(state, weights)
    assert resolve(folder).weights != before.weights
    rewrite(weights.with_name("config.json"), activation_function="torch.nn.modules.activation.ReLU")
    assert resolve(folder).architecture != before.architecture


def test_the_pooling_before_a_dense_layer_is_in_the_recipe(sentence_model: Callable[..., Path]) -> None:
    """The tap is called ``sentence`` whichever it is."""
    folder = sentence_model(dense(8))
    before = make_recipe(resolve(folder), "sentence", "fp32", "float32")
    rewrite(folder / "1_Pooling" / "config.json", pooling_mode="cls")
    assert_as_encoded(folder, "sentence")
    assert make_recipe(resolve(folder), "sentence", "fp32", "float32").id != before.id


def test_an_activation_is_never_imported(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(dense(8))
    for name in ("os.system", "torch.nn.Module", "torch.nn.init.eye_", "torch.hub.load"):
        rewrite(folder / "2_Dense" / "config.json", activation_function=name)
        with pytest.raises(BackboneError, match=f"activation '{name}'"):
            resolve(folder)


def test_the_prompts_of_the_folder(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(normalize(), prompts=PROMPTS, default_prompt="passage")
    assert_as_encoded(folder, "final.mean.l2")
    assert resolve(folder).prompt == PROMPTS["passage"]
    assert_as_encoded(folder, "final.mean.l2", {"prompt": "query"}, prompt_name="query")
    assert_as_encoded(folder, "final.mean.l2", {"prompt": "my own words "}, prompt="my own words ")
    assert_as_encoded(folder, "final.mean.l2", {"prompt": ""}, prompt="")
    assert resolve(folder, prompt="").prompt is None


@pytest.mark.parametrize(
    "mode", [("cls", "mean", "weightedmean"), ("max", "lasttoken", "mean_sqrt_len_tokens")]
)
def test_a_prompt_that_is_left_out_of_the_pooling(
    sentence_model: Callable[..., Path], mode: tuple[str, ...]
) -> None:
    folder = sentence_model(mode=mode, include_prompt=False, prompts=PROMPTS)
    tap = "final." + "+".join(MODES[name] for name in mode)
    assert_as_encoded(folder, tap, {"prompt": "query"}, prompt_name="query")
    assert_as_encoded(folder, tap)
    assert "include_prompt" not in resolve(folder).preprocessing
    assert resolve(folder, prompt="query").preprocessing["include_prompt"] is False


def test_a_prompt_that_leaves_no_room_is_refused(sentence_model: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"the prompt 'many words .* leaves no room .* 128 tokens"):
        resolve(sentence_model(), prompt="many words " * 99)


def test_length_and_lower_case(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model(max_seq_length=9)
    plain = resolve(folder)
    rewrite(folder / "sentence_bert_config.json", do_lower_case=True)
    assert resolve(folder).max_length == 9
    assert_as_encoded(folder, "final.mean")
    upper, lower = (features(f"hf:{folder}", [text], "final.mean") for text in ("HELLO Card", "hello card"))
    assert_equal(upper, lower)
    assert resolve(folder).preprocessing == {**plain.preprocessing, "lower_case": True}


def test_the_encoder_of_older_versions_lies_in_a_folder_of_its_own(
    sentence_model: Callable[..., Path],
) -> None:
    folder = sentence_model(normalize(), max_seq_length=20)
    expected, before = encode(folder, TEXTS), resolve(folder)
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        shutil.move(path, inner / path.name)
    rewrite_modules(folder, lambda modules: [{**modules[0], "path": "0_Transformer"}, *modules[1:]])
    assert_equal(features(f"hf:{folder}", TEXTS, "final.mean.l2"), expected)
    recipes = [make_recipe(info, "final.mean", "fp32", "float32") for info in (before, resolve(folder))]
    assert recipes[0].id == recipes[1].id


def test_a_decoder_and_an_encoder_of_a_pair(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    for name, mode in (("llama", "lasttoken"), ("t5", "cls")):
        inner = save_model(tmp_path / name, name)
        if name == "llama":
            rewrite(inner / "tokenizer_config.json", pad_token="</s>")
        pooling = Pooling(HIDDEN, pooling_mode=mode)
        folder = save_sentence_model(tmp_path / f"sentence-{name}", inner, pooling, normalize())
        assert_as_encoded(folder, f"final.{MODES[mode]}.l2")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("sentence_transformers.models.CNN", "made of Transformer, Pooling, CNN"),
        ("sentence_transformers.models.Router", "Router"),
        ("my.own.Module", "my.own.Module"),
        ("sentence_transformers.models.Pooling", "Transformer, Pooling, Pooling"),
    ],
)
def test_modules_that_only_their_own_code_can_run(
    sentence_model: Callable[..., Path], kind: str, says: str
) -> None:
    folder = sentence_model(normalize())
    rewrite_modules(folder, lambda modules: [*modules[:2], {**modules[2], "type": kind}])
    with pytest.raises(BackboneError, match=says):
        resolve(folder)


def test_a_folder_that_points_outside_itself(sentence_model: Callable[..., Path]) -> None:
    folder = sentence_model()
    for path in ("../../elsewhere", "/etc"):
        rewrite_modules(folder, lambda modules, path=path: [modules[0], {**modules[1], "path": path}])
        with pytest.raises(BackboneError, match="outside itself"):
            resolve(folder)


def rewrite_modules(folder: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = folder / "modules.json"
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")
