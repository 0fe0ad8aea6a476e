"""The one training loop of the torch heads: any module that turns inputs into logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from headstart.errors import ConfigError

UNSEEN = -1
"""The target of a validation sample whose label training lacks: no loss, and always wrong."""

VALIDATION_ROWS = 4096

VIEWS = 1 << 32
"""What is added to a seed to draw views: no seed of a sample order is as large."""

Record: TypeAlias = dict[str, "int | float | None"]
"""An epoch: epoch (from 1), train_loss, validation_loss, validation_accuracy, lr (its last)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Parameters
    ----------
    lr : float
        The peak learning rate, after the warm-up.
    weight_decay : float
        Of the matrices; biases and norms are not decayed.
    epochs, batch_size : int
    warmup_share : float in [0, 1)
        The share of all steps over which the learning rate rises; then it falls as a cosine.
    patience : int
        Epochs without a better validation loss before it stops.
    clip_norm : float
        The gradient's norm over all parameters is at most this.
    seed : int
        Of the order of the samples, of the views drawn, and of whatever the module draws (dropout).
    """

    lr: float
    weight_decay: float
    epochs: int
    batch_size: int
    warmup_share: float
    patience: int
    clip_norm: float
    seed: int


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs and targets on the device of the module.

    Parameters
    ----------
    inputs : Tensor, shape (N, ...)
    targets : Tensor of int64, shape (N,)
    views : Tensor, shape (V, N, ...), optional
        Other inputs for the same targets: what each sample shows in an epoch is drawn from these and from
        its own.
    """

    inputs: Tensor
    targets: Tensor
    views: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def shown(self, generator: torch.Generator) -> Tensor | None:
        """Draw, for an epoch, what each sample shows, shape (N,): 0 is its own input; None: always that."""
        if self.views is None:
            return None
        drawn = torch.randint(len(self.views) + 1, (len(self),), generator=generator)
        return drawn.to(self.targets.device)

    def take(self, rows: Tensor, shown: Tensor | None) -> Tensor:
        """The inputs of some rows, shape (B, ...), each as it is shown."""
        own = self.inputs[rows]
        if self.views is None or shown is None:
            return own
        drawn = shown[rows]
        changed = drawn > 0
        own[changed] = self.views[drawn[changed] - 1, rows[changed]]
        return own


@dataclass(slots=True)
class EarlyStopping:
    """Remembers the weights of the best epoch by validation loss, and when to stop waiting."""

    patience: int
    best_epoch: int = 0
    best_loss: float = math.inf
    weights: dict[str, Tensor] = field(default_factory=dict)

    def update(self, epoch: int, loss: float, module: nn.Module) -> None:
        """Take an epoch into account."""
        if loss < self.best_loss:
            self.best_epoch, self.best_loss = epoch, loss
            # Without the clones these would be the live weights, which training goes on changing.
            self.weights = {name: value.clone() for name, value in module.state_dict().items()}

    def out_of_patience(self, epoch: int) -> bool:
        """Whether the best epoch lies too far back."""
        return epoch - self.best_epoch >= self.patience


def train(
    module: nn.Module,
    examples: Examples,
    validation: Examples | None,
    settings: Settings,
    callback: Callable[[Record], None] | None = None,
) -> tuple[list[Record], int]:
    """Train a module in place: AdamW, cross-entropy, warm-up and cosine, clipped gradients.

    With validation samples it stops early and ends with the weights of its best epoch. The global
    random state is as before when it returns.

    Parameters
    ----------
    module : Module
        On its device, taking inputs (B, ...) to logits (B, n_classes).
    examples, validation : Examples
        Validation targets may be ``UNSEEN``. Views are drawn in training alone, for each sample and epoch.
    settings : Settings
    callback : callable, optional
        Gets a copy of each epoch's record.

    Returns
    -------
    history : list of dict
        One record an epoch.
    best_epoch : int
        The epoch, from 1, whose weights the module has now.

    Raises
    ------
    ConfigError
        The loss is not finite any more.
    """
    history: list[Record] = []
    stopping = EarlyStopping(settings.patience)
    with seeded(settings.seed, examples.inputs.device):
        for record in _epochs(module, examples, validation, settings):
            history.append(record)
            if callback is not None:
                callback(dict(record))
            loss, epoch = record["validation_loss"], len(history)
            if loss is not None:
                stopping.update(epoch, loss, module)
                if stopping.out_of_patience(epoch):
                    break
    if stopping.best_epoch:
        module.load_state_dict(stopping.weights)
    module.eval()
    return history, stopping.best_epoch or len(history)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what modules draw from; afterwards the global random state is as it was."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed: it also seeds the devices that are not restored.
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield


def learning_rate(step: int, n_steps: int, settings: Settings) -> float:
    """The learning rate of a step, from 0: a linear rise to the peak, then half a cosine to 0."""
    warmup = round(settings.warmup_share * n_steps)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (n_steps - warmup)))


def make_optimizer(module: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices alone."""
    matrices = [weight for weight in module.parameters() if weight.ndim > 1]
    vectors = [weight for weight in module.parameters() if weight.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.lr)


def _epochs(
    module: nn.Module, examples: Examples, validation: Examples | None, settings: Settings
) -> Iterator[Record]:
    optimizer = make_optimizer(module, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    # A generator of its own, so that the order of the samples is the same with views as without.
    drawing = torch.Generator().manual_seed(settings.seed + VIEWS)
    n_batches = math.ceil(len(examples) / settings.batch_size)
    for epoch in range(settings.epochs):
        order = torch.randperm(len(examples), generator=generator).to(examples.inputs.device)
        shown = examples.shown(drawing)
        total = torch.zeros((), device=order.device)
        for batch, rows in enumerate(torch.split(order, settings.batch_size)):
            rate = learning_rate(epoch * n_batches + batch, settings.epochs * n_batches, settings)
            inputs, targets = examples.take(rows, shown), examples.targets[rows]
            total += len(rows) * _step(module, optimizer, rate, inputs, targets, settings.clip_norm)
        loss = total.item() / len(examples)
        if not math.isfinite(loss):
            raise ConfigError(
                f"training diverged: the loss is {loss} in epoch {epoch + 1}; "
                f"give a smaller learning rate than lr={settings.lr}"
            )
        validation_loss, accuracy = (None, None) if validation is None else evaluate(module, validation)
        yield {
            "epoch": epoch + 1,
            "train_loss": loss,
            "validation_loss": validation_loss,
            "validation_accuracy": accuracy,
            "lr": rate,
        }


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    rate: float,
    inputs: Tensor,
    targets: Tensor,
    clip_norm: float,
) -> Tensor:
    """One step down the gradient of a batch; its mean loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = cross_entropy(module.train()(inputs), targets)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def evaluate(module: nn.Module, examples: Examples) -> tuple[float | None, float]:
    """Mean cross-entropy over the seen labels (None: there is none) and accuracy over all."""
    module.eval()
    loss, n_right = 0.0, 0
    for rows in torch.split(torch.arange(len(examples), device=examples.targets.device), VALIDATION_ROWS):
        logits, targets = module(examples.inputs[rows]), examples.targets[rows]
        loss += cross_entropy(logits, targets, ignore_index=UNSEEN, reduction="sum").item()
        n_right += int((logits.argmax(dim=1) == targets).sum().item())
    n_seen = int((examples.targets != UNSEEN).sum().item())
    return (loss / n_seen if n_seen else None), n_right / len(examples)
