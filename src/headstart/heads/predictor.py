"""A fitted head with what belongs to it, and how it is kept: its arrays in ``head.safetensors``, the rest in JSON.

::

    head.json
      format      1
      kind        "logistic", "ridge", "linear", ...; "own" for a module of the user's
      task        what its labels mean: "single", "multi" (several labels a sample), "regression" or "py:..."
      params      what the head was made with
      classes     {"dtype": "<U5", "values": ["dress", "hat", ...]}; null for regression
      n_features  D
      fitted      what else fitting found: n_iter, converged, best_epoch, ...
      digest      BLAKE2b-128 of head.safetensors, in hex
      files       the same of what is kept beside it, by name: head.skops of an estimator of scikit-learn

Nothing is pickled, and nothing that is read can run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from headstart.errors import ConfigError, FormatError, StorageError, TrustError
from headstart.files import read_json, write_durably, write_json
from headstart.heads import open_head, open_trunk
from headstart.heads.answers import Affine, KeptAffine, KeptClassifier, KeptRegressor
from headstart.heads.preparation import Preparation
from headstart.tasks import open_task
from headstart.types import Predictions

if TYPE_CHECKING:
    from headstart.contracts import Head
    from headstart.heads.trunk import TorchTrunk
    from headstart.types import Json, LabelKind

FORMAT = 1
TENSORS_FILE = "head.safetensors"
JSON_FILE = "head.json"
AFFINE = ("logistic", "ridge", "centroid", "zero-shot", "svm")
CALIBRATION_FILE = "calibration.json"
FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
CLASS_TYPES = {"U": str, "O": str, "b": bool, "i": int, "u": int, "f": float}
"""What labels of each numpy kind are in JSON."""


@dataclass(frozen=True)
class Predictor:
    """From features to predictions."""

    answering: Head | KeptClassifier | KeptRegressor
    """The head, or if it is affine and was kept, its arrays."""
    preparation: Preparation = field(default_factory=Preparation)
    temperature: float = 1.0
    """Logits are divided by it; 1 where probabilities are the head's own."""
    folder: Path | None = None
    """Where the head is kept."""

    @cached_property
    def head(self) -> Head:
        """The estimator."""
        if isinstance(self.answering, KeptAffine):
            assert self.folder is not None
            return load_head(self.folder)
        return self.answering

    @property
    def task(self) -> LabelKind:
        """What is predicted."""
        return self.answering.task

    @property
    def takes_sequences(self) -> bool:
        """Whether a sample is several vectors."""
        return self.answering.takes_sequences

    @property
    def takes_passages(self) -> bool:
        """Whether it is told where tokens stand in a context."""
        return self.answering.takes_passages

    @property
    def classes(self) -> list[str]:
        """The names of the classes that the head knows; for several labels a sample, their numbers."""
        return [str(name) for name in getattr(self.answering, "classes_", ())]

    def writing(self, **params: Any) -> Predictor:
        """The same with other ways to write texts, of those that are not None.

        Raises
        ------
        ConfigError
            It writes none.
        """
        given = {name: value for name, value in params.items() if value is not None}
        if not given:
            return self
        head: Any = self.head
        if not given.keys() <= head.get_params().keys():
            raise ConfigError(
                f"--{next(iter(given)).replace('_', '-')} is for runs that write texts, and this one predicts "
                f"{open_task(self.task).meaning}; leave it out"
            )
        return replace(self, answering=copy(head).set_params(**given))

    def prepared(self, X: Any) -> Any:
        """Features as the head takes them."""
        return self.preparation(X) if self.preparation else X

    def logits(self, X: Any) -> NDArray[np.floating[Any]] | None:
        """What the temperature divides; None if there is nothing to calibrate."""
        return open_task(self.task).logits(self.answering, self.prepared(X))

    def outputs(self, X: Any) -> NDArray[Any]:
        """What the head says of N samples, at the temperature: probabilities, numbers; see `Task.outputs`."""
        return open_task(self.task).outputs(self.answering, self.prepared(X), self.temperature)

    def said(self, X: Any, y: NDArray[Any]) -> Predictions:
        """Its predictions, beside targets as heads take them."""
        return Predictions(y, self.outputs(X), self.classes)

    def scores(self, X: Any, y: NDArray[Any]) -> dict[str, float]:
        """A few figures of its predictions for targets as heads take them; see `Task.scores`."""
        return open_task(self.task).scores(self.said(X, y))

    def save(self, folder: Path) -> None:
        """Write everything into a folder that exists."""
        save_head(self.head, folder)
        self.preparation.save(folder)
        self.save_temperature(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        FormatError, StorageError
            A file is missing, or does not hold what it should.
        """
        head = _load_affine(folder) or load_head(folder)
        return cls(head, Preparation.load(folder), load_temperature(folder), folder)

    def save_temperature(self, folder: Path) -> None:
        """Write the temperature, where it is none of the head's own."""
        if self.temperature != 1:
            write_json(folder / CALIBRATION_FILE, {"format": 1, "temperature": self.temperature})


def load_temperature(folder: Path) -> float:
    """The temperature that was kept in a folder; 1 if none was.

    Raises
    ------
    StorageError
        The file does not hold one.
    """
    path = folder / CALIBRATION_FILE
    if not path.exists():
        return 1.0
    try:
        temperature = float(read_json(path)["temperature"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}; fit the head again") from error
    if not (np.isfinite(temperature) and temperature > 0):
        raise StorageError(f"{path} has a temperature of {temperature}; fit the head again")
    return temperature


def save_head(head: Head, folder: Path) -> None:
    """Write a fitted head into a folder that exists.

    Raises
    ------
    StorageError
        The folder cannot be written, or the head has classes or parameters that JSON cannot hold.
    """
    if not hasattr(head, "kind") or not hasattr(head, "tensors"):
        raise StorageError(f"a {type(head).__name__} cannot be kept: only the heads of headstart can")
    content = save({name: np.asarray(tensor, order="C") for name, tensor in head.tensors().items()})
    description = {
        "format": FORMAT,
        "kind": head.kind,
        "task": head.task,
        "params": {name: _plain(name, value) for name, value in head.get_params().items()},
        "classes": _described_classes(head),
        "n_features": head.n_features_in_,
        "fitted": {name.rstrip("_"): _fitted(getattr(head, name)) for name in head.fitted},
        "digest": blake2b(content, digest_size=16).hexdigest(),
    }
    files = head.files()
    if files:
        description["files"] = {
            name: blake2b(part, digest_size=16).hexdigest() for name, part in files.items()
        }
    write_durably(folder / TENSORS_FILE, content)
    for name, part in files.items():
        write_durably(folder / name, part)
    write_json(folder / JSON_FILE, description)


def load_head(folder: Path) -> Head:
    """Read a head that predicts bit for bit as the one that was saved.

    Raises
    ------
    FormatError
        It was written in a format that this version does not know.
    StorageError
        A file is missing, or does not hold what it should.
    """
    path = folder / JSON_FILE
    description = _read_description(path)
    try:
        head: Any = open_head(description["kind"], description["params"], seed=0, task=description["task"])
    except TrustError:
        raise
    except (ConfigError, KeyError) as error:
        raise StorageError(f"{path} describes no head of this version: {error}") from error
    classes = _read_classes(description["classes"], path)
    tensors = _read_tensors(folder / TENSORS_FILE, description["digest"])
    for name in head.fitted:
        setattr(head, name, description["fitted"].get(name.rstrip("_")))
    shapes = head.shapes(tensors, 0 if classes is None else len(classes), description["n_features"])
    _check_tensors(tensors, shapes, head.integers, folder / TENSORS_FILE)
    loaded: Head = head.restore(classes, tensors)
    head.read_files(folder, description["files"])
    return loaded


def save_trunk(trunk: TorchTrunk, folder: Path) -> None:
    """Write a network for several labels into a folder that exists: its arrays once, and what each label's head is.

    ``head.json`` has ``labels`` instead of ``task``, ``classes`` and ``fitted``: these three for each label, in order.
    """
    content = save({name: np.asarray(tensor, order="C") for name, tensor in trunk.tensors().items()})
    labels = [
        {
            "task": member.task,
            "classes": _described_classes(member),
            "fitted": {name.rstrip("_"): _fitted(getattr(member, name)) for name in member.fitted},
        }
        for member in trunk.members_
    ]
    description = {
        "format": FORMAT,
        "kind": trunk.kind,
        "params": {name: _plain(name, value) for name, value in trunk.get_params().items()},
        "n_features": trunk.n_features_in_,
        "labels": labels,
        "digest": blake2b(content, digest_size=16).hexdigest(),
    }
    write_durably(folder / TENSORS_FILE, content)
    write_json(folder / JSON_FILE, description)


def load_trunk(folder: Path) -> list[Head]:
    """The heads of the labels of a network that was kept, in order, which share its arrays.

    Raises
    ------
    FormatError, StorageError
        As `load_head`.
    """
    path = folder / JSON_FILE
    description = _read_trunk(path)
    labels = description["labels"]
    try:
        kinds = [label["task"] for label in labels]
        trunk = open_trunk(description["kind"], description["params"], 0, kinds)
        trunk.members_ = [trunk.member(number) for number in range(len(labels))]
        for member, label in zip(trunk.members_, labels, strict=True):
            for name in member.fitted:
                setattr(member, name, label["fitted"].get(name.rstrip("_")))
        n_outputs = sum(int(member.n_outputs_) for member in trunk.members_)
    except TrustError:
        raise
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{path} describes no head of this version: {error}") from error
    tensors = _read_tensors(folder / TENSORS_FILE, description["digest"])
    shapes = trunk.shapes(tensors, n_outputs, description["n_features"])
    _check_tensors(tensors, shapes, trunk.integers, folder / TENSORS_FILE)
    parts = zip(trunk.members_, labels, trunk.member_tensors(tensors), strict=True)
    return [member.restore(_read_classes(label["classes"], path), own) for member, label, own in parts]


def _read_trunk(path: Path) -> dict[str, Any]:
    content = _read_json(path)
    types = {"kind": str, "params": dict, "n_features": int, "labels": list, "digest": str}
    for name, kind in types.items():
        if not isinstance(content.get(name), kind):
            raise StorageError(f"{path} has no valid entry {name!r}; fit the heads again")
    if not content["labels"] or not all(map(_describes_a_label, content["labels"])):
        raise StorageError(f"{path} has no valid entry 'labels'; fit the heads again")
    return content


def _describes_a_label(entry: Json) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("task"), str):
        return False
    classes = dict if open_task(entry["task"]).has_names else NoneType
    return isinstance(entry.get("fitted"), dict) and isinstance(entry.get("classes"), classes)


def _described_classes(head: Any) -> dict[str, Json] | None:
    """The classes of a head with their type; None: numbers."""
    if not hasattr(head, "classes_"):
        return None
    return {"dtype": head.classes_.dtype.str, "values": _class_values(head.classes_)}


def _load_affine(folder: Path) -> KeptClassifier | KeptRegressor | None:
    """The arrays of a kept head that is affine, for which no scikit-learn is imported; None for any other."""
    path = folder / JSON_FILE
    description = _read_description(path)
    fitted, task = description["fitted"], description["task"]
    if description["kind"] not in AFFINE or open_task(task).form == "tags":
        return None  # of tags the estimator knows how they are decoded
    classes = _read_classes(description["classes"], path)
    n_outputs, flag = (fitted.get("n_outputs"), "is_flat") if classes is None else (len(classes), "is_multi")
    if not isinstance(n_outputs, int) or not isinstance(fitted.get(flag), bool):
        return None  # which the estimator says
    tensors = _read_tensors(folder / TENSORS_FILE, description["digest"])
    _check_tensors(tensors, Affine.shapes(n_outputs, description["n_features"]), (), folder / TENSORS_FILE)
    affine = Affine(**tensors, is_unit=_is_unit(description))
    if classes is None:
        return KeptRegressor(affine, task, fitted[flag])
    return KeptClassifier(affine, task, classes, fitted[flag])


def _is_unit(description: Mapping[str, Any]) -> bool:
    """Whether an affine head compares directions."""
    by_cosine = description["params"].get("metric") != "euclidean"
    return description["kind"] == "zero-shot" or (description["kind"] == "centroid" and bool(by_cosine))


def _read_json(path: Path) -> dict[str, Any]:
    """What ``head.json`` says, of a format that is known."""
    try:
        content = read_json(path)
    except (OSError, RecursionError) as error:
        raise StorageError(f"cannot read {path}: {error}; fit the head again") from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise StorageError(f"{path} does not describe a head; fit the head again")
    if content["format"] != FORMAT:
        raise FormatError(
            f"{path} is of format {content['format']}, and this version of headstart knows {FORMAT}; "
            "use the version that wrote it, or fit the head again"
        )
    return content


def _read_description(path: Path) -> dict[str, Any]:
    """The same of one head, each entry of the type it should have."""
    content = _read_json(path)
    content.setdefault("task", "single")  # as heads were before they could do anything else
    content.setdefault("files", {})
    types: dict[str, Any] = {
        "kind": str, "task": str, "params": dict, "classes": dict, "n_features": int, "fitted": dict,
        "digest": str, "files": dict,
    }  # fmt: skip
    if not open_task(content["task"]).has_names:
        types["classes"] = NoneType
    for name, kind in types.items():
        if not isinstance(content.get(name), kind):
            raise StorageError(f"{path} has no valid entry {name!r}; fit the head again")
    return content


def _read_classes(entry: dict[str, Any] | None, path: Path) -> NDArray[Any] | None:
    """The class names, shape (n_classes,), exactly as they were written; None: numbers."""
    if entry is None:
        return None
    values = entry.get("values")
    try:
        dtype = np.dtype(entry.get("dtype", ""))
        classes = np.array(values, dtype=dtype)
        faithful = dtype.kind in CLASS_TYPES and _class_values(classes) == values
    except (TypeError, ValueError, OverflowError, StorageError):
        faithful = False
    if not faithful or not len(classes) or len(set(classes.tolist())) < len(classes):
        raise StorageError(f"{path} has no valid class names; fit the head again")
    return classes


def _read_tensors(path: Path, digest: str) -> dict[str, NDArray[Any]]:
    """All arrays of a safetensors file whose digest is as ``head.json`` says."""
    try:
        content = path.read_bytes()
        tensors = load(content)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; fit the head again") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise StorageError(
            f"{path} is not a safetensors file, or is cut short ({error}); fit the head again"
        ) from error
    if blake2b(content, digest_size=16).hexdigest() != digest:
        raise StorageError(f"{path} is not the file that {JSON_FILE} was written with; fit the head again")
    return tensors


def _check_tensors(
    tensors: dict[str, NDArray[Any]],
    shapes: Mapping[str, tuple[int, ...]],
    integers: Collection[str],
    path: Path,
) -> None:
    if tensors.keys() != shapes.keys():
        raise StorageError(f"{path} holds {sorted(tensors)} and should hold {sorted(shapes)}")
    for name, shape in shapes.items():
        tensor = tensors[name]
        wanted = INTEGERS if name in integers else FLOATS
        if tensor.shape != tuple(shape) or tensor.dtype.name not in wanted:
            found = f"{tensor.dtype.name} {tensor.shape}"
            noun = "integers" if wanted is INTEGERS else "floats"
            raise StorageError(f"{path}: {name!r} is {found}, and {JSON_FILE} says {noun} of shape {shape}")
        if not np.isfinite(tensor).all():
            raise StorageError(f"{path}: {name!r} has values that are not finite")
    if "scale" in tensors and not (tensors["scale"] > 0).all():
        raise StorageError(f"{path}: 'scale' has values that are not positive")


def _class_values(classes: NDArray[Any]) -> list[Json]:
    """The classes as JSON values that give the same array again."""
    values: list[Json] = classes.tolist()
    allowed = CLASS_TYPES.get(classes.dtype.kind)
    if allowed is None or not all(type(value) is allowed for value in values):
        raise StorageError(
            f"classes of dtype {classes.dtype} cannot be kept; use strings, numbers or booleans as labels"
        )
    return values


def _fitted(value: Any) -> Json:
    """What fitting found, as a JSON value."""
    if isinstance(value, np.generic | np.ndarray):
        return _fitted(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None  # such as what one training sample alone says of a parameter
    if isinstance(value, Mapping):
        return {str(name): _fitted(part) for name, part in value.items()}
    return [_fitted(part) for part in value] if isinstance(value, list | tuple) else value


def _plain(name: str, value: Any) -> Json:
    """A parameter as a JSON value."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is not None and not isinstance(value, bool | int | float | str):
        raise StorageError(f"the parameter {name}={value!r} cannot be kept; give a number")
    return value
