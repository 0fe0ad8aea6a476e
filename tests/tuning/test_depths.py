"""Where each parameter and each module of a backbone stands."""

from __future__ import annotations

import pytest
import timm
import transformers

from headstart.tuning.whole_model import Depths


def bert() -> transformers.BertModel:
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    return transformers.BertModel(config)


def test_a_transformer_has_embeddings_blocks_and_what_follows() -> None:
    model = bert()
    depths = Depths.of(model)
    assert depths.n_blocks == 3
    assert set(depths.of_parameter) == {name for name, _ in model.named_parameters()}
    assert depths.of_parameter["embeddings.word_embeddings.weight"] == 0
    assert depths.of_parameter["encoder.layer.1.output.dense.weight"] == 2
    assert depths.of_parameter["pooler.dense.bias"] == 4


def test_a_dropout_lies_where_it_is_used() -> None:
    model = bert()
    modules = Depths.of(model).of_modules(model)
    assert modules["embeddings.dropout"] == 0
    assert modules["encoder.layer.0.attention.output.dropout"] == 1
    assert modules["encoder.layer.2.output.dropout"] == 3
    assert modules["encoder"] == 1
    assert modules[""] == 0


@pytest.mark.parametrize(
    ("name", "n_blocks", "behind"),
    [
        ("vit_tiny_patch16_224", 12, "head.weight"),
        ("tf_efficientnet_lite0", 7, "classifier.weight"),
        ("resnet18", 4, "fc.weight"),
        ("convnext_atto", 4, "head.norm.weight"),
        ("swin_tiny_patch4_window7_224", 4, "norm.weight"),
    ],
)
def test_networks_of_timm_are_divided_as_timm_divides_them(name: str, n_blocks: int, behind: str) -> None:
    model = timm.create_model(name)
    depths = Depths.of(model)
    assert depths.n_blocks == n_blocks
    assert depths.of_parameter[behind] == n_blocks + 1
    assert set(depths.of_parameter) == {name for name, _ in model.named_parameters()}
    assert set(depths.of_parameter.values()) == set(range(n_blocks + 2))


def test_a_network_without_blocks_is_one_piece() -> None:
    from torch import nn

    assert Depths.of(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))).n_blocks == 0
