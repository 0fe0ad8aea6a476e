"""A frozen or fine-tuned backbone of transformers with the head that headstart fitted on it.

This file needs torch and transformers (and timm where the backbone is timm's), and nothing of headstart.
Load the folder that holds it with ``AutoModelForSequenceClassification`` or
``AutoModelForImageClassification``, and ``trust_remote_code=True``.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from .head_layers import chain
from .poolings import pooled, unit


class HeadstartConfig(PretrainedConfig):  # type: ignore[misc]
    """What the model is made of.

    Parameters
    ----------
    backbone : dict
        The configuration of a model of transformers; ``timm_wrapper`` for one of timm.
    reading : dict
        ``read``: what of its output ("final", "pooler", or the number of a hidden state); ``poolings``;
        ``unit``: whether the vector is scaled to length 1; ``n_prefix``: tokens before the patches;
        ``has_cls``; ``channels_last``: how a map or tokens of timm lie, None: as transformers has them;
        ``is_encoder``: the encoder alone is read; ``text_encoding``: by a class without a decoder;
        ``arguments``: of the model's class; ``tower``: of a model of several, None: of one. What it is called
        (``transformer``), the method that gives joint ``features``, and the parts that are ``dropped``.
    layers : list
        Of the head, see ``head_layers.py``.
    most_tokens : int, optional
        Longer inputs are refused, because the head was fitted on texts that were cut there.
    """

    model_type = "headstart"

    def __init__(
        self,
        backbone: dict[str, Any] | None = None,
        reading: dict[str, Any] | None = None,
        layers: list[list[Any]] | None = None,
        most_tokens: int | None = None,
        **others: Any,
    ) -> None:
        self.backbone = backbone or {}
        self.reading = reading or {}
        self.layers = layers or []
        self.most_tokens = most_tokens
        super().__init__(**others)


class _Positions(NamedTuple):
    hidden: Tensor
    mask: Tensor | None
    cls: Tensor | None


class HeadstartModel(PreTrainedModel):  # type: ignore[misc]
    """Backbone, pooling and head."""

    config_class = HeadstartConfig
    base_model_prefix = "backbone"
    _supports_sdpa = True

    def __init__(self, config: HeadstartConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.backbone = make_backbone(config)
        self.head = chain(config.layers)
        run = self._run()
        self._takes = set(inspect.signature(getattr(run, "forward", run)).parameters)
        self.post_init()

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """Logits (B, n_outputs) of tokens or pixels."""
        reading = self.config.reading
        self._check_length(inputs)
        known = {name: part for name, part in inputs.items() if name in self._takes}
        # The map of a timm model is asked for with its layers, which a plain pass does not keep.
        more = {"output_hidden_states": True} if reading["read"].isdigit() else {}
        if reading["read"] == "joint":
            made = self._run()(**known)
            vectors = getattr(made, "pooler_output", made).float()
        elif reading["read"] == "pooler":
            vectors = self._run()(**known, return_dict=True).pooler_output.flatten(1).float()
        else:
            output = self._run()(**known, **more, return_dict=True)
            vectors = pooled(self._positions(output, inputs.get("attention_mask")), reading["poolings"])
        logits: Tensor = self.head(unit(vectors) if reading["unit"] else vectors)
        return logits

    def _run(self) -> Any:
        """The backbone, or the tower of it that is read, or what gives its joint features."""
        tower = self.config.reading["tower"]
        if tower is None:
            return self.backbone
        name = tower["features" if self.config.reading["read"] == "joint" else "transformer"]
        return getattr(self.backbone, name) if name else self.backbone

    def _positions(self, output: Any, mask: Tensor | None) -> _Positions:
        reading = self.config.reading
        read = reading["read"]
        hidden = output.hidden_states[int(read)] if read.isdigit() else output.last_hidden_state
        if mask is not None:
            return _Positions(hidden, mask.bool(), hidden[:, 0])
        last = reading["channels_last"]
        if hidden.ndim == 2:
            return _Positions(hidden.unsqueeze(1), None, None)
        if hidden.ndim == 4:
            return _Positions(hidden.flatten(1, 2) if last else hidden.flatten(2).transpose(1, 2), None, None)
        tokens = hidden.transpose(1, 2) if last is False else hidden
        cls = tokens[:, 0] if reading["has_cls"] else None
        return _Positions(tokens[:, reading["n_prefix"] :], None, cls)

    def _check_length(self, inputs: dict[str, Tensor]) -> None:
        most = self.config.most_tokens
        ids = inputs.get("input_ids")
        if most is None or ids is None or torch.compiler.is_compiling() or ids.shape[1] <= most:
            return
        raise ValueError(
            f"the input has {ids.shape[1]} tokens, and this model was fitted on texts cut to {most}; pass "
            "truncation=True to the pipeline or to the tokenizer"
        )

    def _answer(self, logits: Tensor, labels: Tensor | None) -> SequenceClassifierOutput:
        if labels is None:
            return SequenceClassifierOutput(logits=logits)
        return SequenceClassifierOutput(loss=_loss(logits, labels, self.config.problem_type), logits=logits)

    def _init_weights(self, module: Any) -> None:
        """What no checkpoint holds: the constants that models of timm compute when they are made."""
        super()._init_weights(module)
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()


class HeadstartForSequenceClassification(HeadstartModel):
    """For texts and pairs of texts."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **others: Any,
    ) -> SequenceClassifierOutput:
        """Logits, and the loss where labels are given."""
        if input_ids is not None and attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
        }
        return self._answer(self.logits({n: t for n, t in given.items() if t is not None}), labels)


class HeadstartForImageClassification(HeadstartModel):
    """For images."""

    main_input_name = "pixel_values"

    def forward(
        self, pixel_values: Tensor | None = None, labels: Tensor | None = None, **others: Any
    ) -> SequenceClassifierOutput:
        """Logits, and the loss where labels are given."""
        if pixel_values is None:
            raise ValueError("pixel_values are needed")
        return self._answer(self.logits({"pixel_values": pixel_values}), labels)


def make_backbone(config: HeadstartConfig) -> Any:
    """The backbone, with weights that are not its own yet."""
    reading = config.reading
    described = dict(config.backbone)
    own = AutoConfig.for_model(described.pop("model_type"), **described)
    auto = AutoModelForTextEncoding if reading["text_encoding"] else AutoModel
    model = auto.from_config(own, **reading["arguments"])
    for name in reading["tower"]["dropped"] if reading["tower"] else ():
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    module = model.get_encoder() if reading["is_encoder"] else model
    if hasattr(module.config, "use_cache"):
        module.config.use_cache = False  # nothing is generated, so keys and values need no keeping
    return module


def _loss(logits: Tensor, labels: Tensor, problem: str | None) -> Tensor:
    functional = torch.nn.functional
    if problem == "regression":
        return functional.mse_loss(logits, labels.reshape(logits.shape).to(logits.dtype))
    if problem == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return functional.cross_entropy(logits, labels)
