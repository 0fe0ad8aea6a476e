"""Any model of transformers: which kind of backbone it is, said by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.hf.models import HubModel, HubPart
from headstart.backbones.portable import LateBackbone
from headstart.errors import BackboneError

if TYPE_CHECKING:
    from headstart.backbones.options import BackboneOptions
    from headstart.contracts import Backbone


PIXELS, TOKENS = "pixel_values", "input_ids"
ONE_TOWER = ("_vision_model", "_text_model")  # the model types of CLIP's, SigLIP's … towers alone


class HubBackbone(HubPart, LateBackbone):
    """A model of transformers, by a local folder or by its name on the hub.

    No library is imported before it is resolved or loaded: a warm run needs none.

    """

    def __init__(self, spec: str, name: str, options: BackboneOptions) -> None:
        super().__init__(HubModel(spec, name, options))

    def cache_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        key = dict(super().cache_key())
        # A dual encoder that may choose reads images; the same key would give it for texts.
        return key if self._options.modality else {**key, "modality": "any"}

    @cached_property
    def _model(self) -> Backbone:
        kind = self._kind()
        if kind == "dual":
            from headstart.backbones.hf.dual import DualBackbone

            return DualBackbone(self._source)
        if kind == "image":
            from headstart.backbones.hf.images import ImageBackbone

            return ImageBackbone(self._source)
        from headstart.backbones.hf.texts import TextBackbone

        return TextBackbone(self._source)

    def _kind(self) -> str:
        """What the class that transformers has for the configuration takes."""
        if self._source.is_folder and not (Path(self._source.name) / "config.json").is_file():
            return "text"  # a sentence-transformers folder keeps it further down
        import transformers

        config = self._source.config
        model = transformers.MODEL_MAPPING.get(type(config), None)
        model = model[0] if isinstance(model, list | tuple) else model
        if all(hasattr(model, f"get_{side}_features") for side in ("image", "text")):
            return "dual"
        if config.model_type.endswith(ONE_TOWER):
            return "dual"
        takes = getattr(model, "main_input_name", TOKENS)
        if hasattr(model, "get_image_features") or takes not in (PIXELS, TOKENS):
            raise BackboneError(
                f"{self.spec} is a {config.model_type} model, which headstart cannot read: it reads encoders "
                "of images, of texts, and of both into one space (CLIP, SigLIP, BLIP); for another kind "
                "write a py: backbone"
            )
        return "image" if takes == PIXELS else "text"
