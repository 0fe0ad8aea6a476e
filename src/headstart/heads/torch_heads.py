"""What the torch heads share: reading features, training (one head, or many side by side), and being kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.devices import pick_device, seed_of
from headstart.errors import ConfigError, DataError
from headstart.heads.answers import FLOATS
from headstart.heads.estimators import CLASS_WEIGHTS, SCALINGS, BaseHead, Regressor, Shapes, Tensors
from headstart.heads.labelled import Labelled, Shelf
from headstart.heads.parameters import SEEDS, Interval, check
from headstart.heads.rows import moments, moments_of, standardise
from headstart.heads.scikit import check_is_fitted, validate_data
from headstart.heads.sequences import sequences_of, vectors_of
from headstart.samples import are_sequences, is_stored
from headstart.tasks import open_task

if TYPE_CHECKING:
    import torch

    from headstart.heads.networks import Network
    from headstart.samples import SoftTargets
    from headstart.training.checkpoint import Checkpoint
    from headstart.training.examples import Examples
    from headstart.training.loop import TrainingResult
    from headstart.training.settings import Settings
    from headstart.training.trainee import Objective

STACKABLE = ("lr", "weight_decay", "dropout", "random_state", "blend")
"""What heads that are trained side by side may differ in."""
TOO_MUCH = 1e6
"""Rates from here on overflow float32 within a few steps, in ways that torch words badly."""


@dataclass(eq=False, repr=False, kw_only=True)
class TorchHead(BaseHead):
    """A head that is trained by epochs.

    The same seed gives the same weights, bit for bit, on the same machine; nobody else's random numbers
    change.

    Parameters
    ----------
    lr : float in (0, 1e6)
        The peak learning rate.
    weight_decay : float in [0, 1e6)
        Of the matrices, not of intercepts and norms.
    batch_size : int in [1, inf) or "auto"
        ``auto``: 256, or for fewer than 4,096 samples a sixteenth of them, at least 8, so that an epoch has
        steps enough to learn something.
    momentum : float in [0, 1)
        Of SGD.
    warmup_share : float in [0, 1)
        The share of all steps over which the learning rate rises.
    patience : int in [1, inf)
        Epochs without a better validation loss before it stops. Counts only with validation data.
    clip_norm : float in (0, inf)
        The most that a gradient's norm may be.
    class_weight : {"none", "balanced"}
        Balanced: all classes count alike, however many samples they have.
    mixup : float in [0, inf)
        Alpha of the Beta distribution that pairs of samples are mixed by; 0: none.
    scaling : {"standard", "none"}
        Whether features are standardised on the training rows.
    random_state : int
        Decides first weights, the order of the samples, dropout, mixup and views.
    device : str
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …

    Attributes
    ----------
    history_ : list of dict
        A record for each epoch, see `headstart.training.callbacks`.
    n_iter_ : int
        How many epochs it trained.
    best_epoch_ : int
        The epoch whose weights were kept.
    mean_, scale_ : ndarray of float64, shape (D,)
    n_features_in_ : int
    """

    trains_by_epochs: ClassVar[bool] = True
    trains_side_by_side: ClassVar[bool] = True
    computes_in_torch: ClassVar[bool] = True
    takes_views: ClassVar[bool] = True
    intervals: ClassVar[Mapping[str, Interval]] = {
        "lr": Interval(0, TOO_MUCH, open_low=True),
        "weight_decay": Interval(0, TOO_MUCH),
        "epochs": Interval(1),
        "batch_size": Interval(1, auto=True, whole=True),
        "momentum": Interval(0, 1),
        "warmup_share": Interval(0, 1),
        "patience": Interval(1),
        "clip_norm": Interval(0, open_low=True),
        "dropout": Interval(0, 1),
        "label_smoothing": Interval(0, 1),
        "mixup": Interval(0),
        "random_state": SEEDS,
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "optimizer": ("adamw", "sgd", "lbfgs"),
        "schedule": ("constant", "linear", "cosine", "step", "plateau", "one-cycle"),
        "scaling": SCALINGS,
        "class_weight": CLASS_WEIGHTS,
    }
    fitted: ClassVar[tuple[str, ...]] = ("n_iter_", "best_epoch_", "n_outputs_")
    target_tensors: ClassVar[tuple[str, ...]] = ()
    """Fitted arrays of the targets, one number for each output."""

    _learn_targets: ClassVar[Callable[..., NDArray[Any]]]
    _as_targets: ClassVar[Callable[..., NDArray[Any]]]
    _n_outputs: ClassVar[Callable[..., int]]
    opinions: ClassVar[Callable[..., NDArray[np.float32]]]

    lr: float = 0.001
    weight_decay: float = 1.0
    epochs: int = 100
    batch_size: int | str = "auto"
    optimizer: str = "adamw"
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup_share: float = 0.05
    patience: int = 10
    clip_norm: float = 1.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    class_weight: str = "none"
    mixup: float = 0.0
    scaling: str = "standard"
    random_state: Any = 0
    device: str = "auto"

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        callbacks: Sequence[Any] = (),
        views: Sequence[ArrayLike] = (),
        checkpoint: Checkpoint | None = None,
        soft: SoftTargets | None = None,
    ) -> Self:
        """Fit on features and labels.

        Parameters
        ----------
        X : array-like, shape (N, D)
            May be rows that stay on disk (`FeatureSet.mapped`); for a head that attends, (N, L, D) or
            `Sequences`.
        y : array-like
            Classes (N,), labels 0/1 (N, L), or for a regressor numbers (N,) or (N, T).
        X_val, y_val : optional
            Without them it trains all epochs. A label that ``y`` lacks has no loss and is wrong.
        callbacks : sequence of Callback or callable
            A function is called after each epoch with its record, as in ``history_``.
        views : sequence of array-like, shape (N, D)
            Features of changed copies of the same samples: in each epoch each sample shows its own features
            or one of these, as often as any other. They are read one after the other, and scaled as ``X`` is.
        checkpoint : Checkpoint, optional
            Where a training that is cut off is taken up again.
        soft : SoftTargets, optional
            What a teacher says of the samples of ``X``.

        Raises
        ------
        ConfigError
            A parameter cannot have this value, or the training diverged.
        DataError
            There is only one class, or nothing to attend to.
        """
        [trained] = fit_stack([self], Labelled(X, y, X_val, y_val, views, soft), callbacks, checkpoint)
        if trained.diverged_at:
            raise ConfigError(
                f"training diverged: the loss is not finite any more in epoch {trained.diverged_at}; give a smaller "
                f"learning rate than lr={self.lr:g}"
            )
        return self

    def begin(self, X: Any, y: ArrayLike) -> NDArray[Any]:
        """Learn the classes and the scale of training samples; their targets as a loss takes them.

        For a head whose weights are trained elsewhere, together with a backbone.
        """
        labels = np.asarray(y)
        return self._learn(self._read(X, reset=True), labels)

    def targets_of(self, y: ArrayLike) -> NDArray[Any]:
        """Targets of other samples; of a label that training lacks ``UNSEEN``."""
        return self._as_targets(np.asarray(y))

    def prime(self, network: Any) -> None:
        """Let the first weights of a network, or of a layer, follow from the targets; most heads: nothing."""

    def settle(self, X: Any, y: Any) -> None:
        """Choose what is chosen once there are weights, on validation samples if there are any; most heads: nothing."""

    def finish(self, trained: TrainingResult) -> Self:
        """Become fitted with what training gave."""
        self.history_ = trained.history
        self.n_iter_, self.best_epoch_ = len(trained.history), trained.best_epoch
        self.weights_ = {name: tensor.cpu().numpy() for name, tensor in trained.weights.items()}
        return self

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""
        check_is_fitted(self, "weights_")
        targets = {name: getattr(self, f"{name}_") for name in self.target_tensors}
        return {"mean": self.mean_, "scale": self.scale_, **self.weights_, **targets}

    def restore(self, classes: NDArray[Any] | None, tensors: Tensors) -> Self:
        """Become fitted with classes (n_classes,), None for a regressor, and what `tensors` gave."""
        if classes is not None:
            self.classes_ = classes
        own = ("mean", "scale", *self.target_tensors)
        for name in own:
            setattr(self, f"{name}_", tensors[name])
        self.weights_ = {name: tensor for name, tensor in tensors.items() if name not in own}
        self.n_features_in_ = len(self.mean_)
        return self

    def _shapes(self, tensors: Tensors, n_outputs: int, n_features: int) -> Shapes:
        network = self._network(n_features, n_outputs, [0.0])
        weights = network.member_weights(network.state_dict(), 0)
        whole = tuple(n for n, weight in weights.items() if not weight.is_floating_point())
        self.integers = whole  # type: ignore[misc]
        return {
            **{name: tuple(weight.shape) for name, weight in weights.items()},
            **dict.fromkeys(self.target_tensors, (n_outputs,)),
        }

    def module(self) -> torch.nn.Module:
        """The fitted network without scaling, from inputs to logits (B, 1, n_outputs)."""
        import torch

        network = self._network(self.n_features_in_, self.n_outputs_, [0.0])
        known = network.state_dict()
        network.load_member({n: torch.from_numpy(np.array(self.weights_[n])) for n in known})
        return network.eval()

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        """The network of one head or several, with weights that are not drawn yet."""
        raise NotImplementedError

    def _untrained(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        """The same before training, which may hold more than what is kept."""
        return self._network(n_features, n_outputs, dropouts)

    def _place(self, network: Any, members: slice) -> None:
        """Put members of a network where this head starts; most heads: where they were drawn."""

    def _scores(self, X: Any) -> NDArray[np.float32]:
        """Logits, shape (N, n_outputs)."""
        check_is_fitted(self, "weights_")
        return self._run(self._read(X, reset=False))

    def _run(self, features: Any) -> NDArray[np.float32]:
        import torch

        network: Any = self.module()
        n = len(features)
        examples = self._examples(features, np.zeros(n, dtype=np.int64), torch.device("cpu"))
        with torch.inference_mode():
            parts = [
                network.logits(examples.take(rows))[:, 0].float().numpy()
                for rows in torch.split(torch.arange(n), examples.rows_at_once)
            ]
        logits: NDArray[np.float32] = np.concatenate(parts)
        return logits

    def _read(self, X: Any, reset: bool) -> Any:
        """Features, checked: an array (N, D), rows that stay where they are, or sequences."""
        if not self.takes_sequences and not is_stored(X):
            return validate_data(self, X, dtype=FLOATS, reset=reset)
        features: Any = sequences_of(X) if self.takes_sequences else X
        if features is None:
            raise DataError(
                f"the head {self.kind!r} has nothing to attend to: features have one vector a sample. Give it "
                "all positions (extract with --taps last.tokens, then --tap last.tokens) or several layers; "
                "on one vector use linear or mlp"
            )
        width = int(features.width if self.takes_sequences else features.shape[1])
        if reset:
            self.n_features_in_ = width
        elif width != self.n_features_in_:
            noun = "vectors" if self.takes_sequences else "features"
            raise DataError(f"{noun} are {width} wide, and this head takes {self.n_features_in_}")
        return features

    def _read_labelled(self, X: Any, y: ArrayLike) -> tuple[Any, NDArray[Any]]:
        if self.takes_sequences or is_stored(X):
            features, labels = self._read(X, reset=True), np.asarray(y)
            if len(features) != len(labels):
                raise ConfigError(f"X has {len(features):,} rows, and y {len(labels):,}; it needs as many")
            return features, labels
        several = np.asarray(y).ndim == 2 and np.asarray(y).shape[1] > 1
        features, labels = validate_data(
            self, X, y, dtype=FLOATS, multi_output=several, y_numeric=isinstance(self, Regressor)
        )
        return features, labels

    def _learn(self, features: Any, labels: NDArray[Any]) -> NDArray[Any]:
        """Learn classes and scale; targets as the loss takes them: int64 (N,), or float32 (N, n_outputs)."""
        targets = self._learn_targets(labels)
        self.n_outputs_ = self._n_outputs()
        if self.scaling == "none":
            self.mean_, self.scale_ = np.zeros(self.n_features_in_), np.ones(self.n_features_in_)
        elif are_sequences(features):
            self.mean_, self.scale_ = moments_of(vectors_of(features))
        else:
            self.mean_, self.scale_ = moments(features)
        return targets

    def targets_in(self, features: Any, labels: NDArray[Any]) -> NDArray[Any]:
        """Targets of other samples, from their features and labels."""
        return self.targets_of(labels)

    def _examples(
        self,
        features: Any,
        targets: NDArray[Any],
        device: torch.device,
        views: NDArray[np.float32] | None = None,
    ) -> Examples:
        """Examples on a device, standardised as they are read; views (V, N, D) are standardised already."""
        import torch

        from headstart.training.examples import Ragged, Rows, StoredRows, as_tensor

        wanted = torch.from_numpy(np.ascontiguousarray(targets)).to(device)
        if are_sequences(features) or is_stored(features):
            kind = Ragged if are_sequences(features) else StoredRows
            return kind(features, wanted, as_tensor(self.mean_, device), as_tensor(self.scale_, device))
        inputs = as_tensor(standardise(features, self.mean_, self.scale_), device)
        return Rows(inputs, wanted, None if views is None else torch.from_numpy(views).to(device))

    def _scaled(self, views: Sequence[ArrayLike], features: Any) -> NDArray[np.float32] | None:
        """All views as one array (V, N, D), scaled as the plain features were."""
        if not len(views):
            return None
        if is_stored(features) or are_sequences(features):
            raise ConfigError(
                "views are drawn from memory: train on the plain features alone, or on fewer rows"
            )
        stacked = np.empty((len(views), *features.shape), dtype=np.float32)
        for place, view in zip(stacked, views, strict=True):
            changed = validate_data(self, view, dtype=FLOATS, reset=False)
            if len(changed) != len(features):
                raise ConfigError(
                    f"a view has {len(changed):,} rows, and X has {len(features):,}; it needs as many"
                )
            place[...] = standardise(changed, self.mean_, self.scale_)
        return stacked

    def _settings(self, n_samples: int) -> Settings:
        from headstart.training.settings import Settings, batch_of

        return Settings(
            epochs=int(self.epochs),
            batch_size=batch_of(n_samples) if self.batch_size == "auto" else int(self.batch_size),
            optimizer=self.optimizer,  # type: ignore[arg-type]
            momentum=float(self.momentum),
            schedule=self.schedule,  # type: ignore[arg-type]
            warmup_share=float(self.warmup_share),
            patience=int(self.patience),
            clip_norm=float(self.clip_norm),
            mixup=float(self.mixup),
        )

    def _objective(
        self, targets: NDArray[Any], device: torch.device, soft: SoftTargets | None = None
    ) -> Objective:
        import torch

        from headstart.training.distilled import objective_of

        task, weights = open_task(self.task), None
        if self.class_weight == "balanced":
            weights = task.balanced_weights(torch.from_numpy(targets), self.n_outputs_)
        return objective_of(task, weights, float(self.label_smoothing), self.n_outputs_, soft).to(device)


def fit_stack(
    heads: Sequence[TorchHead],
    samples: Labelled | Sequence[Labelled],
    callbacks: Sequence[Any] = (),
    checkpoint: Checkpoint | None = None,
) -> list[TrainingResult]:
    """Fit heads side by side, in one pass over the data.

    Parameters
    ----------
    heads : sequence of TorchHead
        Of one class, with parameters that differ in `STACKABLE` alone. They become fitted, but for those
        that diverged.
    samples : Labelled, or a sequence of them
        For all heads, or for each; then all have as many rows and validation rows, features of one width and
        the same classes.
    callbacks, checkpoint
        See `TorchHead.fit`; callbacks watch the first head.

    Returns
    -------
    list of TrainingResult
        What became of each.
    """
    from headstart.training.stack import train_stack

    first = heads[0]
    for head in heads:
        check(head)
    of_head = [samples] * len(heads) if isinstance(samples, Labelled) else list(samples)
    device = pick_device(first.device)
    # Heads that see the same rows in the same order are one group; the first head is in the first. Of those that
    # differ in nothing that training sees, as in their blend, the first is trained for all.
    groups: dict[tuple[int, int], list[int]] = {}
    first_alike: dict[Any, int] = {}
    trained_as = []
    for number, (head, part) in enumerate(zip(heads, of_head, strict=True)):
        order = (id(part), seed_of(head.random_state))
        trained_as.append(first_alike.setdefault((order, head.lr, head.weight_decay, head.dropout), number))
        if trained_as[-1] == number:
            groups.setdefault(order, []).append(number)
    shelves: dict[int, Shelf] = {}
    for number, *_ in groups.values():
        part = of_head[number]
        if id(part) not in shelves:
            shelves[id(part)] = Shelf.of(heads[number], part, device)
    grouped = [[heads[number] for number in group] for group in groups.values()]
    pairs = zip(groups, grouped, strict=True)
    streams = [shelves[part].stream(members) for (part, _), members in pairs]
    learnt = [shelves[part].head for part, _ in groups]
    found = train_stack(
        _network(grouped, learnt).to(device),
        streams,
        first._settings(len(streams[0].examples)),
        first._objective(shelves[id(of_head[0])].targets, device, of_head[0].soft),
        callbacks,
        checkpoint,
        {"kind": first.kind, **first.get_params()},
    )
    by_number = dict(zip([number for group in groups.values() for number in group], found, strict=True))
    trained = [by_number[number] for number in trained_as]
    for number, head in enumerate(heads):
        if not trained[number].diverged_at:
            _share(shelves[id(of_head[number])].head, head)
            head.finish(trained[number])
            part = of_head[number]
            head.settle(*((part.X, part.y) if part.X_val is None else (part.X_val, part.y_val)))
    return trained


def _network(groups: Sequence[Sequence[TorchHead]], learnt: Sequence[TorchHead]) -> Network:
    """The network of all heads, with first weights by the seed of each; of each group one head knows its samples."""
    import torch

    heads = [head for group in groups for head in group]
    first = heads[0]
    with torch.random.fork_rng(devices=[]):
        # A network of the user's own draws its weights when it is made.
        torch.manual_seed(seed_of(first.random_state))
        dropouts = [float(head.dropout) for head in heads]
        network = first._untrained(first.n_features_in_, first.n_outputs_, dropouts)
    start = 0
    for group, one in zip(groups, learnt, strict=True):
        generator, members = (
            torch.Generator().manual_seed(seed_of(group[0].random_state)),
            slice(start, start + len(group)),
        )
        network.draw(generator, members)
        one._place(network, members)
        start += len(group)
    first.prime(network)
    return network


def _share(first: TorchHead, head: TorchHead) -> None:
    """What was learnt of the data, for all heads of a stack."""
    if head is first:
        return
    for name in vars(first):
        if name.endswith("_") and not name.startswith("_") and name not in ("weights_", "history_"):
            setattr(head, name, getattr(first, name))
