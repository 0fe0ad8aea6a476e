"""Text encoders of transformers, by name or by local folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.digest import n_parameters, weights_digest
from headstart.backbones.freezing import freeze
from headstart.backbones.hub import hub_commit, hub_files
from headstart.backbones.loading import loading_failures
from headstart.backbones.tokenizer_files import read_settings, tokenizer_digest
from headstart.errors import BackboneError, ConfigError, SampleError
from headstart.types import Activations, BackboneInfo

if TYPE_CHECKING:
    import torch

    from headstart.backbones.options import BackboneOptions
    from headstart.types import Payload, Precision

CPU_BATCH = 16
GPU_BATCH = 128
LENGTH_SETTINGS, POOLING_SETTINGS = "sentence_bert_config.json", "1_Pooling/config.json"
UNBOUNDED = 1_000_000  # transformers writes 10^30 where a tokenizer knows no limit
FALLBACK_LENGTH = 512
REMEDY = "check the name or the folder, fetch it where there is a network, or choose a bundled: backbone"

# Entries of a configuration that change no hidden state in eval mode.
_INERT_CONFIG = {
    "_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache",
    "gradient_checkpointing", "id2label", "label2id", "problem_type", "num_labels", "return_dict",
    "output_hidden_states", "output_attentions", "finetuning_task", "tokenizer_class",
}  # fmt: skip


class TextBackbone:
    """A text encoder of transformers.

    Parameters
    ----------
    spec : str
        As the user wrote it.
    name : str
        A folder, or a name on the hub.
    options : BackboneOptions
    """

    def __init__(self, spec: str, name: str, options: BackboneOptions) -> None:
        self.spec = spec
        self._name = name
        self._options = options

    def memo_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        versions = {name: metadata.version(name) for name in ("transformers", "tokenizers", "torch")}
        spec = f"hf:{Path(self._name).resolve()}" if self._is_folder else self.spec
        return {"spec": spec, "options": self._options.given(), "versions": versions}

    def resolve(self) -> BackboneInfo:
        """Load the model and describe it."""
        missing = self._missing
        random_pooler = any("pooler" in name for name in missing)
        return BackboneInfo(
            spec=self.spec,
            modality="text",
            weights=weights_digest(self._model, missing),
            architecture={"library": "transformers", "config": self._config},
            preprocessing={"tokenizer": tokenizer_digest(self._files)},
            taps=self._taps(random_pooler),
            max_length=self._max_length,
            provenance={
                "versions": self.memo_key()["versions"],
                "parameters": n_parameters(self._model),
                "commit": None if self._is_folder else hub_commit(self._name),
                "files": sorted(path.name for path in self.witnesses() if path.is_file()),
            },
        )

    def witnesses(self) -> Sequence[Path]:
        """All files of the model's folder, as far as they lie on this machine."""
        if not self._is_folder:
            return hub_files(self._name)
        folder = Path(self._name)
        inside = (path for path in folder.rglob("*") if ".git" not in path.parts)
        # The folders as well: a file that appears in one may be read in another's place.
        return [folder, *sorted(path for path in inside if path.is_file() or path.is_dir())]

    def load(self, device: str, precision: Precision) -> FrozenTextModel:
        """The model, frozen, on a device."""
        module = freeze(self._model, device, precision)
        has_pooler = not any("pooler" in name for name in self._missing)
        return FrozenTextModel(module, self._tokenizer, self._max_length, has_pooler)

    @property
    def _files(self) -> list[Path]:
        return [path for path in self.witnesses() if path.is_file()]

    @property
    def _is_folder(self) -> bool:
        return os.path.isdir(self._name)

    @cached_property
    def _loaded(self) -> tuple[Any, Mapping[str, Any]]:
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        with loading_failures(self.spec, self._options.offline, REMEDY):
            model, report = transformers.AutoModel.from_pretrained(
                self._name, dtype="auto", output_loading_info=True, **self._where()
            )
            self._fetch_settings()
        if model.config.is_encoder_decoder:
            raise BackboneError(f"{self.spec} is an encoder–decoder; only encoders are supported so far")
        unusable = [name for name in report["missing_keys"] if "pooler" not in name]
        if unusable:
            raise BackboneError(f"{self.spec} lacks weights that its features need: {unusable[0]}")
        return model.eval(), report

    @property
    def _model(self) -> Any:
        return self._loaded[0]

    @property
    def _missing(self) -> tuple[str, ...]:
        return tuple(self._loaded[1]["missing_keys"])

    @cached_property
    def _tokenizer(self) -> Any:
        import transformers

        with loading_failures(self.spec, self._options.offline, REMEDY):
            return transformers.AutoTokenizer.from_pretrained(self._name, **self._where())

    def _fetch_settings(self) -> None:
        """Bring what a sentence-transformers repository says of itself, which AutoModel does not."""
        if self._is_folder or self._options.offline:
            return
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        for name in (POOLING_SETTINGS, LENGTH_SETTINGS):
            with contextlib.suppress(EntryNotFoundError):
                hf_hub_download(self._name, name, revision=hub_commit(self._name))

    def _where(self) -> dict[str, Any]:
        """Where to load from: a commit that is here is never looked up again on the hub."""
        if self._is_folder:
            return {"local_files_only": True, "trust_remote_code": False}
        where: dict[str, Any] = {"local_files_only": self._options.offline, "trust_remote_code": False}
        commit = hub_commit(self._name)
        return where if commit is None else {**where, "revision": commit}

    @property
    def _config(self) -> dict[str, Any]:
        """Where the configuration departs from its class's defaults.

        Only that: entries which a later transformers adds at their default must not re-key a cache.
        """
        config = self._model.config
        try:
            defaults = type(config)().to_dict()
        except (TypeError, ValueError):
            defaults = {}
        entries = sorted(config.to_dict().items())
        changed = {name: value for name, value in entries if defaults.get(name, ...) != value}
        return {"model_type": config.model_type} | {
            name: value for name, value in changed.items() if name not in _INERT_CONFIG
        }

    @cached_property
    def _max_length(self) -> int:
        settings = read_settings(self._files, LENGTH_SETTINGS)
        positions = getattr(self._model.config, "max_position_embeddings", None)
        limits = [
            limit
            for limit in (self._tokenizer.model_max_length, positions)
            if isinstance(limit, int) and 0 < limit < UNBOUNDED
        ]
        most = min(limits, default=None)
        own = settings.get("max_seq_length")
        default = min(filter(None, (own if isinstance(own, int) else None, most)), default=FALLBACK_LENGTH)
        asked = self._options.max_length
        special = self._tokenizer.num_special_tokens_to_add(pair=self._options.pair)
        if asked is not None and (asked <= special or (most is not None and asked > most)):
            raise ConfigError(
                f"--max-length {asked} is out of range for {self.spec}: it takes {special + 1} to {most} tokens"
            )
        return asked or default

    def _taps(self, random_pooler: bool) -> tuple[str, ...]:
        """The author's own pooling first, then the others."""
        pooler = hasattr(self._model, "pooler") and self._model.pooler is not None and not random_pooler
        offered = ["final.mean", "final.cls", "final.max", *(["pooler"] if pooler else [])]
        own = read_settings(self._files, POOLING_SETTINGS)
        for mode, tap in (("cls_token", "final.cls"), ("max_tokens", "final.max")):
            if own.get(f"pooling_mode_{mode}") is True and not own.get("pooling_mode_mean_tokens"):
                offered.remove(tap)
                offered.insert(0, tap)
        return tuple(offered)


class FrozenTextModel:
    """A text encoder with its tokenizer, in memory and frozen."""

    def __init__(self, module: Any, tokenizer: Any, max_length: int, has_pooler: bool) -> None:
        self.module: torch.nn.Module = module
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._has_pooler = has_pooler
        self._device = next(module.parameters()).device
        self.batch_size = CPU_BATCH if self._device.type == "cpu" else GPU_BATCH
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        tokenizer.padding_side = "right"  # `last.cls` is then the first position of every row

    def prepare(self, payloads: Sequence[Payload]) -> list[Any | SampleError]:
        """Token ids of each text, cut to the maximal length, not padded yet."""
        first = [payload if isinstance(payload, str) else payload[0] for payload in payloads]
        second = [payload[1] for payload in payloads if isinstance(payload, tuple)]
        try:
            encoded = self._tokenizer(
                first,
                second or None,
                truncation=True,
                max_length=self._max_length,
                return_attention_mask=False,
            )
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            if len(payloads) == 1:
                return [SampleError(f"the text cannot be tokenised: {error}")]
            return [self.prepare([payload])[0] for payload in payloads]
        names = list(encoded.keys())
        return [{name: encoded[name][row] for name in names} for row in range(len(payloads))]

    def length(self, prepared: Any) -> int:
        """The number of tokens."""
        return len(prepared["input_ids"])

    def forward(self, prepared: Sequence[Any]) -> Activations:
        """Run the model over a batch, padded to its longest text."""
        import torch

        batch = self._tokenizer.pad(list(prepared), return_tensors="pt").to(self._device)
        with torch.inference_mode():
            output = self.module(**batch)
        hidden = output.last_hidden_state
        pooled = getattr(output, "pooler_output", None) if self._has_pooler else None
        mask = batch["attention_mask"].bool()
        return Activations(hidden=hidden, mask=mask, cls=hidden[:, 0], pooled=pooled)
