"""64 linear heads trained as one stack beside 64 trained one after the other, taking turns in one process.

    python benchmarks/stacks.py --features banking77.npz [--rounds 3] [--epochs 3] [--singles 16] [--over seeds]

8 rates x 8 decays at batch 64, or with ``--over seeds`` 8 rates x 8 seeds, each with an order of its own.
``--features`` is an .npz with X_train, y_train, X_validation and y_validation (`features.arrays(split)` of a set
gives them). Of the single runs only some are trained, evenly chosen, and their time is scaled to 64; early stopping is
off, so that both do the same epochs. On a GPU also against one run.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rounds import Contestant, stopwatch, take_turns

from headstart.heads.neural import LinearHead
from headstart.heads.torch_heads import Labelled, fit_stack

RATES, DECAYS = np.geomspace(1e-4, 1e-2, 8), np.geomspace(1e-3, 1.0, 8)


def heads(epochs: int, device: str, over: str) -> list[LinearHead]:
    """All 64, unfitted."""
    return [
        LinearHead(
            lr=float(lr),
            weight_decay=float(DECAYS[4] if over == "seeds" else DECAYS[number]),
            random_state=number if over == "seeds" else 0,
            batch_size=64,
            epochs=epochs,
            patience=epochs,
            device=device,
        )
        for lr in RATES
        for number in range(8)
    ]


def main() -> None:
    """Time both, and say how far members are from what each is alone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--singles", type=int, default=16)
    parser.add_argument("--over", choices=["decays", "seeds"], default="decays")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    file = np.load(args.features)
    train = file["X_train"], file["y_train"]
    validation = file["X_validation"], file["y_validation"]
    chosen = np.linspace(0, 63, args.singles).astype(int).tolist()
    fitted: dict[str, list[Any]] = {}

    def stacked() -> None:
        fitted["stack"] = heads(args.epochs, args.device, args.over)
        fit_stack(fitted["stack"], Labelled(*train, *validation))

    def singly() -> None:
        fitted["alone"] = [heads(args.epochs, args.device, args.over)[number] for number in chosen]
        for head in fitted["alone"]:
            head.fit(*train, *validation)

    times = take_turns(
        {"stack": Contestant("stack", stopwatch(stacked)), "alone": Contestant("alone", stopwatch(singly))},
        args.rounds,
    )
    stack, alone = times["stack"].median, times["alone"].median * 64 / len(chosen)
    apart = 0.0
    for number, head in zip(chosen, fitted["alone"], strict=True):
        both = [one.decision_function(validation[0]) for one in (fitted["stack"][number], head)]
        apart = max(apart, float(np.abs(both[0] - both[1]).max()))
    print(
        f"{train[0].shape[0]:,} x {train[0].shape[1]}, {len(np.unique(train[1]))} classes, {args.epochs} epochs: "
        f"64 rates and {args.over} as one {stack:.2f} s, one after the other {alone:.2f} s: {stack / alone:.3f}; "
        f"against one run {stack / (alone / 64):.1f}; logits at most {apart:.1e} apart"
    )


if __name__ == "__main__":
    main()
