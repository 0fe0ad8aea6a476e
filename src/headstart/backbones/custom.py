"""The user's own backbones: ``py:package.module:factory``.

The factory takes no argument and returns an object with

- ``module``: a `torch.nn.Module` (frozen and put into eval mode here),
- ``modality``: ``"image"``, ``"text"`` or ``"image-text"``,
- ``version``: a string that the author raises when a number changes,
- ``prepare(payload)``: from the bytes of an image, a text or a pair of either to a tensor on the CPU,
- ``is_reentrant``, optional: ``True`` if several threads may call ``forward`` at once (it is then faster),
- ``forward(batch)``, optional: from the stacked tensors to features (B, D), or (B, T, D) to pool;
  without it the module itself is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.freezing import freeze, grad_context, n_parameters, weights_digest
from headstart.backbones.images import change_files, change_texts
from headstart.errors import BackboneError, ConfigError, HeadstartError, SampleError
from headstart.own_code import load_own, reason_of, source_digest
from headstart.types import AT_END, Activations, BackboneInfo, Positions

if TYPE_CHECKING:
    import torch

    from headstart.contracts import Change
    from headstart.types import Payload, Precision

BATCH = 16
INPUT = "inputs"
NEEDED = ("module", "modality", "version", "prepare")


class CustomBackbone:
    """A backbone that a factory of the user's makes.

    ``spec``: as the user wrote it; ``target``: ``package.module:factory``; the current folder is importable.
    """

    def __init__(self, spec: str, target: str) -> None:
        self.spec = spec
        self._target = target

    def cache_key(self) -> Mapping[str, Any] | None:
        """None: what the factory reads is not known, so it is asked each time."""
        return None

    def source_files(self) -> Sequence[Path]:
        """None are known."""
        return []

    def resolve(self) -> BackboneInfo:
        """Make the model and describe it."""
        made = self._made
        pooled = ("pooler", "final.mean", "final.max", "final.cls")
        return BackboneInfo(
            spec=self.spec,
            modality=made.modality,
            weights=weights_digest(made.module),
            architecture={"library": "custom", "factory": self._target},
            preprocessing={},
            taps=pooled,
            code={"version": str(made.version), "source": source_digest(self._factory)},
            provenance={"parameters": n_parameters(made.module)},
        )

    def load(self, device: str, precision: Precision) -> FrozenCustomModel:
        """The model, frozen, on a device."""
        freeze(self._made.module, device, precision)
        return FrozenCustomModel(self.spec, self._made)

    @cached_property
    def _factory(self) -> Any:
        return load_own(self.spec, "factory")

    @cached_property
    def _made(self) -> Any:
        try:
            made = self._factory()
        except HeadstartError:
            raise
        except Exception as error:
            raise BackboneError(f"{self.spec} failed: {type(error).__name__}: {error}") from error
        missing = [name for name in NEEDED if not hasattr(made, name)]
        if missing:
            raise ConfigError(f"{self.spec} made an object without {', '.join(missing)}; see its how-to")
        if not hasattr(made.module, "state_dict"):
            kind = type(made.module).__name__
            raise ConfigError(f"{self.spec} made an object whose module is a {kind}, and no torch.nn.Module")
        return made


class FrozenCustomModel:
    """A custom backbone in memory and frozen."""

    def __init__(self, spec: str, made: Any) -> None:
        import torch

        self.module: torch.nn.Module = made.module
        self.budget = BATCH
        parameter = next(self.module.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        # Code that keeps something from one batch to the next must not run twice at once.
        self.is_reentrant = bool(getattr(made, "is_reentrant", False))
        self._spec = spec
        self._made = made

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """What the user's own ``prepare`` makes of each; whatever it raises names the sample.

        A changed image is handed to it as the bytes of a PNG.
        """
        given: Sequence[Payload | SampleError] = payloads
        if changes is not None:
            change = change_files if "image" in self._made.modality else change_texts
            given = change(payloads, changes)
        return [part if isinstance(part, SampleError) else self._prepared(part) for part in given]

    def _prepared(self, payload: Payload) -> Any | SampleError:
        try:
            return self._made.prepare(payload)
        except Exception as error:  # the user's code raises what it likes
            return SampleError(f"{self._spec} could not prepare it: {reason_of(error)}")

    def length(self, prepared: Any) -> int:
        """All samples cost the same."""
        return 1

    def collate(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """The samples as one tensor."""
        import torch

        try:
            return {INPUT: torch.stack(list(prepared))}
        except (TypeError, RuntimeError) as error:
            raise self._failed(len(prepared), error) from error

    def forward(self, batch: Mapping[str, torch.Tensor], reads: Collection[str] = AT_END) -> Activations:
        """Run the user's forward over a batch."""
        import torch

        given = batch[INPUT]
        parameter = next(self.module.parameters(), None)
        if parameter is not None and given.is_floating_point():
            given = given.to(parameter.dtype)
        try:
            with grad_context(self.module):
                output = getattr(self._made, "forward", self.module)(given)
        except (torch.OutOfMemoryError, HeadstartError):
            raise
        except Exception as error:  # the user's code raises what it likes
            raise self._failed(len(given), error) from error
        if not isinstance(output, torch.Tensor):
            raise BackboneError(f"{self._spec} gave a {type(output).__name__}; expected a tensor (B, D)")
        if output.ndim == 2:
            return Activations({"final": Positions(output.unsqueeze(1), cls=output)}, {"pooler": output})
        if output.ndim == 3:
            return Activations({"final": Positions(output, cls=output[:, 0])}, {"pooler": output.mean(dim=1)})
        raise BackboneError(f"{self._spec} gave a tensor of shape {tuple(output.shape)}; expected (B, D)")

    def _failed(self, n: int, error: Exception) -> BackboneError:
        return BackboneError(f"{self._spec} failed on a batch of {n}: {type(error).__name__}: {error}")
