"""The user's own backbones: ``py:package.module:factory``.

The factory takes no argument and returns an object with

- ``module``: a `torch.nn.Module` (frozen and put into eval mode here),
- ``modality``: ``"image"``, ``"text"`` or ``"image-text"``,
- ``version``: a string that the author raises when a number changes,
- ``prepare(payload)``: from the bytes of an image, a text or a pair of either to a tensor on the CPU,
- ``forward(batch)``, optional: from the stacked tensors to features (B, D), or (B, T, D) to pool;
  without it the module itself is called.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.digest import n_parameters, weights_digest
from headstart.backbones.freezing import freeze
from headstart.errors import BackboneError, ConfigError, HeadstartError, SampleError
from headstart.types import Activations, BackboneInfo, Positions

if TYPE_CHECKING:
    import torch

    from headstart.types import Payload, Precision

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
NEEDED = ("module", "modality", "version", "prepare")


class CustomBackbone:
    """A backbone that a factory of the user's makes.

    Parameters
    ----------
    spec : str
        As the user wrote it.
    target : str
        ``package.module:factory``; the current folder is importable.
    """

    def __init__(self, spec: str, target: str) -> None:
        self.spec = spec
        self._target = target

    def memo_key(self) -> Mapping[str, Any] | None:
        """None: what the factory reads is not known, so it is asked each time."""
        return None

    def witnesses(self) -> Sequence[Path]:
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
            code={"version": str(made.version), "source": _source_digest(self._factory)},
            provenance={"parameters": n_parameters(made.module)},
        )

    def load(self, device: str, precision: Precision) -> FrozenCustomModel:
        """The model, frozen, on a device."""
        freeze(self._made.module, device, precision)
        return FrozenCustomModel(self.spec, self._made)

    @cached_property
    def _factory(self) -> Any:
        module_name, _, name = self._target.partition(":")
        if not module_name or not name:
            raise ConfigError(f"{self.spec!r} should be py:package.module:factory")
        if "" not in sys.path:
            sys.path.insert(0, "")
        try:
            return getattr(importlib.import_module(module_name), name)
        except Exception as error:  # importing it runs it
            raise ConfigError(f"{self.spec} cannot be imported: {type(error).__name__}: {error}") from error

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
        self.module: torch.nn.Module = made.module
        self.batch_size = 16
        self._spec = spec
        self._made = made

    def prepare(self, payloads: Sequence[Payload]) -> list[Any | SampleError]:
        """What the user's own ``prepare`` makes of each; whatever it raises names the sample."""
        prepared: list[Any | SampleError] = []
        for payload in payloads:
            try:
                prepared.append(self._made.prepare(payload))
            except Exception as error:
                # Without addresses of memory: a reason that differs from run to run is a new set each time.
                reason = _ADDRESS.sub("", str(error)) or type(error).__name__
                prepared.append(SampleError(f"{self._spec} could not prepare it: {reason}"))
        return prepared

    def length(self, prepared: Any) -> int:
        """All samples cost the same."""
        return 1

    def forward(self, prepared: Sequence[Any], layers: Collection[str] = ()) -> Activations:
        """Run the user's forward over a batch."""
        import torch

        try:
            with torch.inference_mode():
                output = getattr(self._made, "forward", self.module)(self._batch(prepared))
        except (torch.OutOfMemoryError, HeadstartError):
            raise
        except Exception as error:  # the user's code raises what it likes
            raise BackboneError(
                f"{self._spec} failed on a batch of {len(prepared)}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(output, torch.Tensor):
            raise BackboneError(f"{self._spec} gave a {type(output).__name__}; expected a tensor (B, D)")
        if output.ndim == 2:
            return Activations({"final": Positions(output.unsqueeze(1), cls=output)}, {"pooler": output})
        if output.ndim == 3:
            return Activations({"final": Positions(output, cls=output[:, 0])}, {"pooler": output.mean(dim=1)})
        raise BackboneError(f"{self._spec} gave a tensor of shape {tuple(output.shape)}; expected (B, D)")

    def _batch(self, prepared: Sequence[Any]) -> torch.Tensor:
        """The samples as one tensor, where the weights are and like them."""
        import torch

        batch = torch.stack(list(prepared))
        parameter = next(self.module.parameters(), None)
        if parameter is None:
            return batch
        return batch.to(parameter.device, parameter.dtype if batch.is_floating_point() else batch.dtype)


def _source_digest(factory: Any) -> str:
    """BLAKE2b-128, in hex, of the file that the factory is written in."""
    try:
        source = Path(inspect.getfile(factory)).read_bytes()
    except (TypeError, OSError):
        source = repr(factory).encode("utf-8")
    return blake2b(source, digest_size=16).hexdigest()
