"""Any model of transformers: which kind of backbone it is, said by its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.hf.models import HubModel
from headstart.errors import BackboneError

if TYPE_CHECKING:
    from headstart.backbones.options import BackboneOptions
    from headstart.backbones.portable import BackboneSaver, Portable
    from headstart.contracts import Backbone, FrozenModel
    from headstart.types import BackboneInfo, Precision


PIXELS, TOKENS = "pixel_values", "input_ids"
ONE_TOWER = ("_vision_model", "_text_model")  # the model types of CLIP's, SigLIP's … towers alone


class HubBackbone:
    """A model of transformers, by a local folder or by its name on the hub.

    Nothing of it is read, and no library imported, before it is resolved or loaded: a warm run needs
    neither.

    """

    def __init__(self, spec: str, name: str, options: BackboneOptions) -> None:
        self.spec = spec
        self._name = name
        self._options = options
        self._source = HubModel(spec, name, options)

    def cache_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        key = dict(self._source.cache_key())
        # A dual encoder that may choose reads images; the same key would give it for texts.
        return key if self._options.modality else {**key, "modality": "any"}

    def source_files(self) -> Sequence[Path]:
        """All files of the model's folder, as far as they lie on this machine."""
        return self._source.source_files()

    def resolve(self) -> BackboneInfo:
        """Load the model and describe it."""
        return self._model.resolve()

    def load(self, device: str, precision: Precision) -> FrozenModel:
        """The model, frozen, on a device."""
        return self._model.load(device, precision)

    def portable(self, tap: str) -> Portable:
        """See `PortableBackbone`."""
        from headstart.backbones.portable import carried

        return carried(self._model, tap)

    def tunable(self, tap: str) -> BackboneSaver:
        """See `TunableBackbone`."""
        from headstart.backbones.portable import backbone_saver

        return backbone_saver(self._model, tap)

    @cached_property
    def _model(self) -> Backbone:
        kind = self._kind()
        if kind == "dual":
            from headstart.backbones.hf.dual import DualBackbone

            return DualBackbone(self._source, self._options)
        if kind == "image":
            from headstart.backbones.hf.images import ImageBackbone

            return ImageBackbone(self._source, self._options)
        from headstart.backbones.hf.texts import TextBackbone

        return TextBackbone(self.spec, self._name, self._options)

    def _kind(self) -> str:
        """What the class that transformers has for the configuration takes."""
        if self._source.is_folder and not (Path(self._name) / "config.json").is_file():
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
