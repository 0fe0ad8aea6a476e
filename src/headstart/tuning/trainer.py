"""Hugging Face's Trainer over raw samples: one phase, with early stopping, checkpoints and an exact resume."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_model
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

from headstart.training.objectives import Objective
from headstart.training.schedules import rate_factor
from headstart.training.settings import Schedule, Settings
from headstart.tuning.inputs import LABELS, RawSamples, Windows
from headstart.tuning.network import TunedModel
from headstart.tuning.selection_scores import Criterion, merit
from headstart.tuning.strategies import Phase

EVALUATED_AT_ONCE = 32
WEIGHTS = "model.safetensors"
MERIT = "eval_merit"


@dataclass(frozen=True, slots=True)
class Rules:
    """What all phases of a training share.

    Parameters
    ----------
    batch_size : int
        Samples a step.
    part_size : int
        Samples that go through the network at once; in [1, batch_size].
    schedule : {"constant", "linear", "cosine", "step", "one-cycle"}
        See `headstart.training.schedules.rate_factor`.
    warmup_share : float in [0, 1)
    weight_decay, head_weight_decay : float
    layer_decay : float in (0, 1]
        What the learning rate is multiplied by from one layer to the next, towards the input.
    clip_norm : float
    patience : int, optional
        Epochs without a better one before a phase ends; None: it trains all of its epochs.
    kept_by : {"accuracy", "loss"}
        What decides on validation samples which epoch's weights are kept, see `headstart.tuning.selection_scores`.
    precision : {"fp32", "bf16", "fp16"}
        Of activations, by autocast.
    seed : int
    n_workers : int
        Processes that read ahead; 0: this one reads.
    """

    batch_size: int
    part_size: int
    schedule: Schedule = "linear"
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    head_weight_decay: float = 0.01
    layer_decay: float = 1.0
    clip_norm: float = 1.0
    patience: int | None = None
    kept_by: Criterion = "accuracy"
    precision: str = "fp32"
    seed: int = 0
    n_workers: int = 0


class _Numbers(Dataset[int]):
    """Row numbers; the collator turns them into a batch."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, row: int) -> int:
        return row


class PhaseTrainer(Trainer):  # type: ignore[misc]
    """One phase of a training.

    Parameters
    ----------
    model : TunedModel
        With what trains in this phase set.
    train, validation : RawSamples
        Without validation samples all epochs are trained, and the last weights kept.
    objective : Objective
    phase : Phase
    rules : Rules
    folder : Path
        Of checkpoints.
    on_epoch : callable
        Is told a record after each epoch; True ends the training.
    callbacks : sequence of TrainerCallback
    """

    def __init__(
        self,
        model: TunedModel,
        train: RawSamples,
        validation: RawSamples | None,
        objective: Objective,
        phase: Phase,
        rules: Rules,
        folder: Path,
        on_epoch: Callable[[dict[str, Any]], bool],
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        size, part_size = (
            min(rules.batch_size, len(train)),
            min(rules.part_size, rules.batch_size, len(train)),
        )
        self._windows = Windows(len(train), size, part_size, rules.seed, train.lengths())
        self._train_samples, self._validation_samples = train, validation
        self.optimizer: Any
        self.lr_scheduler: Any
        self.control: Any
        self._objective, self._phase, self._rules = objective, phase, rules
        stops = [EarlyStoppingCallback(rules.patience)] if rules.patience and validation is not None else []
        super().__init__(
            model=model,
            args=_arguments(phase, rules, folder, self._windows, validation is not None, model.device),
            train_dataset=_Numbers(len(train)),
            eval_dataset=_Numbers(len(validation)) if validation is not None else None,
            callbacks=[_Epochs(self, on_epoch), *stops, *callbacks],
        )
        for kind in list(self.callback_handler.callbacks):
            if type(kind).__name__ in ("PrinterCallback", "ProgressCallback"):  # we have a bar of our own
                self.remove_callback(kind)
        self.loss_is_scaled_for_ga = True  # by `compute_loss`, over the samples of all parts of a window

    def get_train_dataloader(self) -> DataLoader[int]:
        """Parts of windows, in the order of the epoch."""
        return DataLoader(
            _Numbers(len(self._train_samples)),
            batch_sampler=self._windows,
            collate_fn=self._train_samples.batch,
            num_workers=self._rules.n_workers,
            pin_memory=self.args.device.type == "cuda",
        )

    def begin_epoch(self, epoch: int) -> None:
        """Set what is drawn in an epoch, from 1: it follows from the seed and this number alone."""
        self._windows.epoch = self._train_samples.epoch = epoch

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> int:
        return sum(len(part[LABELS]) for part in batch_samples)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The share of a part in the mean loss of its window."""
        targets = inputs[LABELS]
        logits = model({name: value for name, value in inputs.items() if name != LABELS})
        loss = self._objective.losses(logits[:, None].float(), targets).sum() / (
            num_items_in_batch or len(targets)
        )
        return (loss, logits) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW over what trains in this phase."""
        if self.optimizer is None:
            rules, phase = self._rules, self._phase
            groups = self.model.groups(
                phase.lr, phase.head_lr, rules.layer_decay, rules.weight_decay, rules.head_weight_decay
            )
            self.optimizer = torch.optim.AdamW(groups, fused=self.args.device.type in ("cpu", "cuda"))
        made: torch.optim.Optimizer = self.optimizer
        return made

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedules that heads are trained by."""
        if self.lr_scheduler is None:
            settings = Settings(
                epochs=1, batch_size=1, schedule=self._rules.schedule, warmup_share=self._rules.warmup_share
            )
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer,
                lambda step: rate_factor(min(step, num_training_steps - 1), num_training_steps, settings),
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean loss and accuracy (for numbers the root of the mean squared error) on the validation samples."""
        assert self._validation_samples is not None
        start = time.perf_counter()
        logits = torch.from_numpy(logits_of(self.model, self._validation_samples))
        targets = self._validation_samples.targets
        objective = _on_cpu(self._objective)
        losses = objective.losses(logits[:, None], targets)
        n_seen = objective.n_seen(targets)
        metrics = {"eval_loss": float(losses.sum()) / n_seen if n_seen else math.inf}
        right = objective.right(logits[:, None], targets)
        if right is not None:
            metrics["eval_accuracy"] = float(right.double().mean())
        metrics[MERIT] = merit(metrics["eval_loss"], metrics.get("eval_accuracy"), self._rules.kept_by)
        metrics["eval_runtime"] = time.perf_counter() - start
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        target = Path(output_dir or self.args.output_dir)
        target.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(target / WEIGHTS))  # which knows tensors that share their memory


class _Epochs(TrainerCallback):  # type: ignore[misc]
    """Draws epochs, and gathers what became of each."""

    def __init__(self, trainer: PhaseTrainer, on_epoch: Callable[[dict[str, Any]], bool]) -> None:
        self._trainer = trainer
        self._on_epoch = on_epoch
        self._record: dict[str, Any] = {}

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        epoch = round(state.epoch or 0) + 1
        self._trainer.begin_epoch(epoch)
        self._record = {"epoch": epoch, "validation_loss": None, "validation_accuracy": None}

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] = {}, **_: Any) -> None:
        names = {
            "loss": "train_loss", "learning_rate": "lr", "grad_norm": "gradient_norm",
            "eval_loss": "validation_loss", "eval_accuracy": "validation_accuracy",
        }  # fmt: skip
        self._record |= {ours: logs[theirs] for theirs, ours in names.items() if theirs in logs}

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The last event of an epoch."""
        if self._record and self._on_epoch(dict(self._record)):
            control.should_training_stop = True
        self._record = {}


def _arguments(
    phase: Phase, rules: Rules, folder: Path, windows: Windows, has_validation: bool, device: torch.device
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=phase.epochs,
        per_device_train_batch_size=rules.part_size,
        gradient_accumulation_steps=windows.n_parts,
        learning_rate=phase.lr,
        max_grad_norm=rules.clip_norm,
        eval_strategy="epoch" if has_validation else "no",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=has_validation,
        metric_for_best_model=MERIT if has_validation else None,
        greater_is_better=True if has_validation else None,
        seed=rules.seed % 2**32,
        bf16=rules.precision == "bf16",
        fp16=rules.precision == "fp16",
        use_cpu=device.type == "cpu",
        remove_unused_columns=False,
        label_names=[LABELS],
        report_to=[],
        disable_tqdm=True,
        restore_callback_states_from_checkpoint=True,
        logging_nan_inf_filter=False,
        log_level="error",
    )


def _on_cpu(objective: Objective) -> Objective:
    weights = objective.class_weight
    return Objective(objective.task, None if weights is None else weights.cpu(), objective.label_smoothing)


def logits_of(model: TunedModel, samples: RawSamples) -> NDArray[np.float32]:
    """Logits of all samples, shape (N, C), in eval mode and without gradients."""
    return _outputs(model, samples, model)


def features_of(model: TunedModel, samples: RawSamples) -> NDArray[np.float32]:
    """What the head reads of all samples, shape (N, D)."""
    return _outputs(model, samples, model.features)


def _outputs(
    model: TunedModel, samples: RawSamples, run: Callable[[Mapping[str, Tensor]], Tensor]
) -> NDArray[np.float32]:
    was_training, change = model.training, samples.change
    model.eval()
    samples.change = None
    found: list[Any] = [None] * len(samples)
    try:
        lengths = samples.lengths()
        order = np.arange(len(samples)) if lengths is None else np.argsort(lengths, kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), EVALUATED_AT_ONCE):
                rows = order[start : start + EVALUATED_AT_ONCE].tolist()
                for row, output in zip(rows, run(samples.inputs(rows)).float().cpu().numpy(), strict=True):
                    found[row] = output
    finally:
        samples.change = change
        model.train(was_training)
    return np.stack(found).astype(np.float32)


def latest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in a folder that is whole; None: there is none."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
