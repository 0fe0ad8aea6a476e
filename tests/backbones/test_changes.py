"""What a view changes reaches the model: of a picture its pixels, of a text neither prompt nor special tokens."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from headstart.augmentation import open_views
from headstart.augmentation.changes import Unchanged
from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.images import decode_image
from headstart.contracts import FrozenModel
from headstart.errors import SampleError

from .conftest import TEXTS
from .opening import opened
from .tiny_texts import save_model

CUSTOM = "py:tests.end_to_end.tiny_backbones:"


@dataclass(frozen=True, slots=True)
class Everything(Unchanged):
    """Turns pictures to their negative, texts to upper case, and hides every token that may be hidden."""

    hides: bool = False

    def image(self, image: Image.Image) -> Image.Image:
        return ImageOps.invert(image)

    def text(self, text: str) -> str:
        return text if self.hides else text.upper()

    def tokens(self, ids: Sequence[int], special: Collection[int], mask: int | None) -> list[int]:
        other = 4 if mask is None else mask
        return [token if token in special or not self.hides else other for token in ids]


@dataclass(frozen=True, slots=True)
class Refuses(Unchanged):
    """Changes nothing whatever it is asked."""

    def image(self, image: Image.Image) -> Image.Image:
        raise SampleError("not this picture")

    def text(self, text: str) -> str:
        raise SampleError("not this text")


LOUD, HIDDEN, REFUSED = Everything(b""), Everything(b"", hides=True), Refuses(b"")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("changes")
    return {name: save_model(root / name, name) for name in ("roberta", "t5", "gpt2", "llama")}


def ids_of(model: FrozenModel, payloads: Sequence[Any], *changes: Any) -> list[list[int]]:
    return [list(part["input_ids"]) for part in model.prepare(payloads, list(changes) or None)]


@pytest.mark.parametrize("name", ["roberta", "t5", "gpt2", "llama"])
@pytest.mark.parametrize("prompt", [None, "query: ", "I lost", "my"])
def test_special_tokens_and_the_prompt_stay(folders: dict[str, Path], name: str, prompt: str | None) -> None:
    """Whatever kind of tokenizer it is, and however the prompt runs into the text."""
    model = opened(folders[name], "text", prompt=prompt)
    tokenizer = model._input.tokenizer.own
    for text in ("my card", "façade 12"):
        [plain], [hidden] = ids_of(model, [text]), ids_of(model, [text], HIDDEN)
        assert len(hidden) == len(plain)
        kept = [after for before, after in zip(plain, hidden, strict=True) if before == after and after != 4]
        said = tokenizer.decode([token for token in kept if token not in tokenizer.all_special_ids])
        assert said.strip() == (prompt or "").strip()
        assert [t for t in plain if t in tokenizer.all_special_ids] == [
            t for t in hidden if t in tokenizer.all_special_ids
        ]


def test_the_mask_of_a_model_that_has_one_stands_for_hidden_tokens(tiny_bert: Path) -> None:
    model = opened(tiny_bert, "text", prompt="ab ")
    assert ids_of(model, ["cd ef"], HIDDEN) == [[2, 5, 5 + 26 + 1, 4, 4, 4, 4, 3]]
    [view] = open_views(1, "default", 0, "text")
    [masked] = ids_of(model, ["cd ef"], view.change(bytes(16)))
    assert masked.count(4) == 1


def test_both_texts_of_a_pair_are_changed(tiny_bert: Path) -> None:
    model = opened(tiny_bert, "text-pair")
    [plain] = model.prepare([("ab", "cd")])
    [hidden] = model.prepare([("ab", "cd")], [HIDDEN])
    assert hidden["input_ids"] == [2, 4, 4, 3, 4, 4, 3]
    assert hidden["token_type_ids"] == plain["token_type_ids"]
    cased = opened_cased(tiny_bert)
    assert ids_of(cased, [("ab", "cd")], LOUD) == ids_of(cased, [("AB", "CD")])


def opened_cased(folder: Path) -> FrozenModel:
    import json

    path = folder / "tokenizer.json"
    said = json.loads(path.read_text("utf-8"))
    said["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(said), "utf-8")
    return opened(folder, "text-pair")


def test_a_text_is_changed_before_the_prompt_is_put_in_front(folders: dict[str, Path]) -> None:
    model = opened(folders["roberta"], "text", prompt="query: ")
    assert ids_of(model, TEXTS, *[LOUD] * len(TEXTS)) == ids_of(model, [text.upper() for text in TEXTS])


def test_a_text_changes_alike_alone_and_beside_one_that_cannot_be_tokenised(
    folders: dict[str, Path],
) -> None:
    model = opened(folders["roberta"], "text")
    [view] = open_views(1, "default", 0, "text")
    change = view.change(bytes(16))
    text = TEXTS[2]
    alone, (beside, bad, plain) = (
        model.prepare([text], [change]),
        model.prepare([text, "\ud800", text], [change, change, None]),
    )
    assert beside == alone[0] != plain
    assert plain == model.prepare([text])[0]
    assert isinstance(bad, SampleError)


def test_what_a_change_refuses_is_named_and_the_others_go_on(folders: dict[str, Path]) -> None:
    model = opened(folders["roberta"], "text")
    first, second, third = model.prepare(["a", "b", "c"], [None, REFUSED, LOUD])
    assert str(second) == "not this text"
    assert [first, third] == model.prepare(["a", "C"])
    [only] = model.prepare(["a"], [REFUSED])
    assert isinstance(only, SampleError)


def test_a_picture_is_changed_before_the_models_own_transform(
    dual_folders: dict[str, Path], pictures: list[bytes]
) -> None:
    model = opened(dual_folders["clip"], "image")
    changed = model.prepare(pictures, [LOUD] * len(pictures))
    expected = model.prepare([png(ImageOps.invert(decode_image(file))) for file in pictures])
    for one, other in zip(changed, expected, strict=True):
        assert torch.equal(one["pixel_values"], other["pixel_values"])


def test_a_picture_that_cannot_be_changed_is_named(
    dual_folders: dict[str, Path], pictures: list[bytes]
) -> None:
    model = opened(dual_folders["clip"], "image")
    first, second, third = model.prepare([pictures[0], pictures[0], b"none"], [REFUSED, None, LOUD])
    assert str(first) == "not this picture"
    assert not isinstance(second, SampleError)
    assert "not an image" in str(third)


def test_of_an_image_with_a_text_the_image_is_changed(
    dual_folders: dict[str, Path], pictures: list[bytes]
) -> None:
    model = opened(dual_folders["clip"], "image-text")
    pair = (pictures[0], "a red shirt")
    [view] = open_views(1, "default", 0, "image-text")
    [(image, text)], [(changed, same)] = (
        model.prepare([pair]),
        model.prepare([pair], [view.change(bytes(16))]),
    )
    assert text == same
    assert not torch.equal(image["pixel_values"], changed["pixel_values"])


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def custom(name: str) -> FrozenModel:
    return open_backbone(CUSTOM + name, BackboneOptions()).load("cpu", "fp32")


def test_a_backbone_of_the_users_own_is_handed_the_changed_picture_as_a_png(pictures: list[bytes]) -> None:
    model, pair = custom("images"), custom("pairs")
    changed, plain, refused, broken = model.prepare(
        [pictures[0], pictures[0], pictures[0], b"none"], [LOUD, None, REFUSED, LOUD]
    )
    negative = png(ImageOps.invert(decode_image(pictures[0])))
    assert torch.equal(changed, model.prepare([negative])[0])
    assert torch.equal(plain, model.prepare([pictures[0]])[0])
    assert str(refused) == "not this picture"
    assert "not an image" in str(broken)
    [both] = pair.prepare([(pictures[0], "ab")], [LOUD])
    assert torch.equal(both, pair.prepare([(negative, "ab")])[0])


def test_a_backbone_of_the_users_own_is_handed_the_changed_text() -> None:
    model = custom("texts")
    one, two, refused = model.prepare(["ab", ("a", "b"), "c"], [LOUD, LOUD, REFUSED])
    assert torch.equal(one, model.prepare(["AB"])[0])
    assert torch.equal(two, model.prepare([("A", "B")])[0])
    assert str(refused) == "not this text"


def test_a_change_cannot_give_a_picture_that_no_model_could_take(pictures: list[bytes]) -> None:
    @dataclass(frozen=True, slots=True)
    class Line(Unchanged):
        def image(self, image: Image.Image) -> Image.Image:
            return Image.fromarray(np.zeros((1, 4000, 3), np.uint8))

    [refused] = custom("images").prepare([pictures[0]], [Line(b"")])
    assert "more than 1000 times" in str(refused)
