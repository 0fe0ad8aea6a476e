"""A linear probe trained with torch; the loop is in `headstart.heads.training`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import validate_data

from headstart.errors import ConfigError
from headstart.heads.affine import FLOATS, AffineClassifier
from headstart.heads.parameters import SEEDS, Interval
from headstart.heads.scaling import standardise

if TYPE_CHECKING:
    import torch

    from headstart.heads.training import Examples, Record, Settings


TOO_MUCH = 1e6
"""Rates from here on overflow float32 within a few steps, in ways that torch words badly."""


class LinearHead(AffineClassifier):
    """Softmax regression trained by AdamW: cosine schedule with warm-up, early stopping.

    Torch is needed to fit it, not to predict. The same seed gives the same weights, bit for bit,
    on the same machine; nobody else's random numbers change.

    Parameters
    ----------
    lr : float in (0, 1e6)
        The peak learning rate.
    weight_decay : float in [0, 1e6)
        Of the matrix, not of the intercept.
    epochs, batch_size : int in [1, inf)
    warmup_share : float in [0, 1)
        The share of all steps over which the learning rate rises.
    patience : int in [1, inf)
        Epochs without a better validation loss before it stops. Counts only with validation data.
    clip_norm : float in (0, inf)
        The most that a gradient's norm may be.
    random_state : int
        Decides the order of the samples.
    device : str
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …

    Attributes
    ----------
    history_ : list of dict
        For each epoch ``epoch`` (from 1), ``train_loss``, ``validation_loss``,
        ``validation_accuracy`` (both None without validation data) and ``lr``.
    n_iter_ : int
        How many epochs it trained.
    best_epoch_ : int
        The epoch whose weights were kept.
    """

    kind: ClassVar[str] = "linear"
    intervals: ClassVar = {
        "lr": Interval(0, TOO_MUCH, open_low=True),
        "weight_decay": Interval(0, TOO_MUCH),
        "epochs": Interval(1),
        "batch_size": Interval(1),
        "warmup_share": Interval(0, 1),
        "patience": Interval(1),
        "clip_norm": Interval(0, open_low=True),
        "random_state": SEEDS,
    }
    fitted: ClassVar = ("n_iter_", "best_epoch_")

    history_: list[Record]
    n_iter_: int
    best_epoch_: int

    def __init__(
        self,
        lr: float = 0.001,
        weight_decay: float = 1.0,
        epochs: int = 100,
        batch_size: int = 256,
        warmup_share: float = 0.05,
        patience: int = 10,
        clip_norm: float = 1.0,
        random_state: Any = 0,
        device: str = "auto",
    ) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.warmup_share = warmup_share
        self.patience = patience
        self.clip_norm = clip_norm
        self.random_state = random_state
        self.device = device

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        callback: Callable[[Record], None] | None = None,
        views: Sequence[ArrayLike] = (),
    ) -> Self:
        """Fit on features (N, D) and labels (N,).

        Parameters
        ----------
        X, y : array-like, shape (N, D) and (N,)
        X_val, y_val : array-like, shape (M, D) and (M,), optional
            Without them it trains all epochs. A label that ``y`` lacks has no loss and is wrong.
        callback : callable, optional
            Called after each epoch with its record, as in ``history_``.
        views : sequence of array-like, shape (N, D)
            Features of changed copies of the same samples: in each epoch each sample shows its own features
            or one of these, as often as any other. They are read one after the other, and scaled as ``X`` is.

        Raises
        ------
        ConfigError
            A parameter cannot have this value, or the training diverged.
        DataError
            There is only one class.
        """
        from headstart.heads import training

        Z, codes = self._begin(X, y)
        device = pick_device(self.device)
        examples = _examples(Z, codes, device, self._standardised(views, Z))
        validation = None if X_val is None else _examples(*self._validation(X_val, y_val), device)
        module = zero_linear(Z.shape[1], len(self.classes_), device)
        self.history_, self.best_epoch_ = training.train(
            module, examples, validation, self._settings(), callback
        )
        self.n_iter_ = len(self.history_)
        self._keep(module.weight.detach().cpu().numpy(), module.bias.detach().cpu().numpy())
        return self

    def _validation(
        self, X_val: ArrayLike, y_val: ArrayLike | None
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
        """Standardised validation features, and the code of each label or ``UNSEEN``."""
        from headstart.heads.training import UNSEEN

        if y_val is None:
            raise ConfigError("X_val was given without y_val; give both or neither")
        features, labels = validate_data(self, X_val, y_val, dtype=FLOATS, reset=False)
        codes = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        codes = np.where(self.classes_[codes] == labels, codes, UNSEEN)
        return standardise(features, self.mean_, self.scale_), codes

    def _standardised(
        self, views: Sequence[ArrayLike], Z: NDArray[np.floating[Any]]
    ) -> NDArray[np.float32] | None:
        """All views as one array (V, N, D), scaled as the plain features were."""
        if not len(views):
            return None
        stacked = np.empty((len(views), *Z.shape), dtype=np.float32)
        for place, view in zip(stacked, views, strict=True):
            features = validate_data(self, view, dtype=FLOATS, reset=False)
            if len(features) != len(Z):
                raise ConfigError(
                    f"a view has {len(features):,} rows, and X has {len(Z):,}; it needs as many"
                )
            place[...] = standardise(features, self.mean_, self.scale_)
        return stacked

    def _settings(self) -> Settings:
        from headstart.heads.training import Settings

        return Settings(
            lr=float(self.lr),
            weight_decay=float(self.weight_decay),
            epochs=int(self.epochs),
            batch_size=int(self.batch_size),
            warmup_share=float(self.warmup_share),
            patience=int(self.patience),
            clip_norm=float(self.clip_norm),
            seed=seed_of(self.random_state),
        )


def seed_of(random_state: Any) -> int:
    """A seed from what scikit-learn takes as ``random_state``; None: another one each time."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def pick_device(name: str) -> torch.device:
    """The device of that name.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the device {name!r} cannot be used here ({reason}); give auto or cpu") from error
    return device


def zero_linear(n_features: int, n_classes: int, device: torch.device) -> torch.nn.Linear:
    """A linear layer that starts at zero: all classes equally likely, nothing drawn."""
    import torch

    # On any real device nn.Linear would draw its first weights from the global generator.
    module = torch.nn.Linear(n_features, n_classes, device="meta").to_empty(device=device)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    return module


def _examples(
    Z: NDArray[Any], codes: NDArray[np.int64], device: torch.device, views: NDArray[np.float32] | None = None
) -> Examples:
    import torch

    from headstart.heads.training import Examples

    inputs = torch.from_numpy(Z.astype(np.float32, copy=False))
    targets = torch.from_numpy(codes.astype(np.int64)).to(device)
    return Examples(inputs.to(device), targets, None if views is None else torch.from_numpy(views).to(device))
