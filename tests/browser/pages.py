"""Data of whole report pages: of a run, a set, two runs, of texts, hostile ones, and large ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .made import CLASSES, COLOURS, SPLITS, Made, Page, category, number, packed, picture, webp

HOSTILE = [
    "</script><script>window.broken=1</script>",
    "<img src=x onerror=window.broken=2>",
    "\"quoted\" & 'apostrophes' &lt;b&gt;",
    "line\u2028separator\u2029and\nnewline\r\nand\ttab",
    "\u202ereversed by a mark\u202c \u200fעברית",
    '=HYPERLINK("http://evil")',
    "__proto__",
    "]]>--><!--",
    "\ud800 half a pair",
    "x" * 1_000_000,
]


def run_page(made: Made | None = None, probabilities: str | None = "float32", texts: bool = False) -> Page:
    """A run of ten classes with pictures or texts, points, neighbours and queues."""
    made = made or Made()
    return {
        **_frame("run", "clothing-logistic", made.classes),
        "samples": made.samples(said=made.columns_said()) | (notes_of(made) if texts else {}),
        "points": made.points(),
        "neighbours": made.neighbours(),
        "runs": [made.run(probabilities=probabilities)],
        "comparison": None,
        "queues": queues(made),
        "matters": {"kept": [3, 4]},
    }


def set_page(made: Made | None = None, texts: bool = False) -> Page:
    """A set, of pictures or of texts."""
    made = made or Made()
    return {
        **_frame("set", "clothing", made.classes),
        "samples": made.samples() | (notes_of(made) if texts else {}),
        "points": made.points(),
        "neighbours": made.neighbours(),
        "runs": [],
        "comparison": None,
        "queues": [queue for queue in queues(made) if queue["name"] != "mistakes"],
    }


def notes_of(made: Made) -> Page:
    """Texts instead of pictures, of one to five sentences."""
    return {
        "thumbs": None,
        "texts": [
            f"Sample {row}: the {made.classes[code]} came with a note that said it would fit. "
            * (1 + row % 5)
            for row, code in enumerate(made.label)
        ],
    }


def runs_page() -> Page:
    """Two runs over the same samples."""
    a, b = Made(), Made()
    b.prediction = np.where(b.rng.random(b.n) < 0.5, b.label, b.prediction)
    b.prediction = np.where(b.rng.random(b.n) < 0.08, (b.label + 1) % len(b.classes), b.prediction)
    test = a.split == 2
    gained, lost = ~a.right & b.right, a.right & ~b.right
    flip = np.select([a.right & b.right, gained, lost], [0, 1, 2], 3)
    flip[a.split == 0] = -1
    said = [
        column
        for made, name in ((a, "a"), (b, "b"))
        for column in (
            {**one, "name": f"{one['name']}.{name}", "title": f"{one['title']} of {name}"}
            for one in made.columns_said()
        )
    ]
    only_a, only_b = int((lost & test).sum()), int((gained & test).sum())
    accuracies = [float(made.right[test].mean()) for made in (a, b)]
    difference = accuracies[1] - accuracies[0]
    slices = [
        {
            "column": "label",
            "value": name,
            "n": int((of := test & (a.label == code)).sum()),
            "a": float(a.right[of].mean()),
            "b": float(b.right[of].mean()),
            "gained": int((gained & of).sum()),
            "lost": int((lost & of).sum()),
        }
        for code, name in enumerate(a.classes)
    ]
    figure = {
        "name": "accuracy",
        "title": "accuracy",
        "a": accuracies[0],
        "b": accuracies[1],
        "difference": difference,
    }
    return {
        **_frame("runs", "clothing-logistic against clothing-mlp", a.classes),
        "samples": a.samples(
            said=[*said, category("flip", ["both right", "gained", "lost", "both wrong"], flip)]
        ),
        "points": a.points(),
        "neighbours": a.neighbours(),
        "runs": [a.run(), b.run("clothing-mlp")],
        "comparison": {
            "figures": [{**figure, "interval": [difference - 0.05, difference + 0.05]}],
            "only_a": only_a,
            "only_b": only_b,
            "p_value": 0.014,
            "n": int(test.sum()),
            "slices": slices,
            "note": "",
        },
        "queues": [],
    }


def queues(made: Made) -> list[Page]:
    """Of each kind one, from what was drawn."""
    wrong = np.flatnonzero(~made.right & (made.split == 2))
    wrong = wrong[np.argsort(-made.probabilities[wrong].max(1))]
    doubted = np.argsort(made.probabilities[np.arange(made.n), made.label])[:24]
    train = np.flatnonzero(made.split == 0)
    pairs = train[: min(16, len(train) // 2 * 2)].reshape(2, -1)
    far = np.argsort(-np.abs(made.place).sum(1))[:12]

    def queue(name: str, title: str, about: str, rows: ArrayLike, **entries: Any) -> Page:
        rows = np.asarray(rows)
        empty = {"other": None, "suggested": None, "score": None, "score_title": None, "n": len(rows)}
        return {
            "name": name,
            "title": title,
            "about": about,
            "rows": packed(rows, "uint32"),
            **empty,
            **entries,
        }

    suggested = [made.classes[code] for code in made.prediction[doubted]]
    given = made.probabilities[doubted, made.label[doubted]]
    return [
        queue(
            "mistakes",
            "Mistakes",
            "Predictions that differ from the label, the most confident first.",
            wrong,
            score=packed(made.probabilities[wrong].max(1), "float32"),
            score_title="confidence",
        ),
        queue(
            "label_errors",
            "Label errors",
            "Labels that a cross-validated head finds unlikely.",
            doubted,
            suggested=suggested,
            score=packed(given, "float32"),
            score_title="probability of the given label",
            n=61,
        ),
        queue(
            "duplicates",
            "Near duplicates",
            "Pairs of samples with nearly the same features.",
            pairs[0],
            other=packed(pairs[1], "uint32"),
            score=packed(np.linspace(1, 0.97, pairs.shape[1]), "float32"),
            score_title="cosine",
        ),
        queue("outliers", "Outliers", "Samples far from all others.", far),
    ]


def hostile_page() -> Page:
    """Every name, id and text of it wants out."""
    made = Made(len(HOSTILE) * 12, HOSTILE, seed=3)
    page = run_page(made)
    rng = np.random.default_rng(0)
    samples = page["samples"]
    short, long = HOSTILE[:-1], HOSTILE[-1]
    samples["ids"] = [long, *(short[row % len(short)] for row in range(1, made.n))]
    samples["texts"] = [*(short[row % len(short)] for row in range(1, made.n)), long]
    broken = [
        "data:image/webp;base64,AAAA",
        "javascript:window.broken=3",
        "https://nowhere.invalid/x.png",
        picture(1, rng),
    ]
    samples["thumbs"]["images"] = [broken[row % 4] for row in range(made.n)]
    samples["columns"].append(category("meta:</style><b>", HOSTILE, made.label))
    return {
        **page,
        "title": HOSTILE[0],
        "about": [[name, name] for name in HOSTILE],
        "notes": list(HOSTILE),
        "runs": [
            {
                **page["runs"][0],
                "name": HOSTILE[1],
                "slices": [{**slice_, "column": HOSTILE[0]} for slice_ in made.slices()],
            }
        ],
    }


def texts_run_page() -> Page:
    """A run that writes texts: no classes, what was said beside what was expected."""
    made = Made(60)
    said = [
        f"a summary of sample {row}" if right else f"something else about {row}"
        for row, right in enumerate(made.right)
    ]
    page = set_page(made, texts=True)
    expected = [f"a summary of sample {row}" for row in range(made.n)]
    page["samples"] |= {
        "labels": expected,
        "columns": [page["samples"]["columns"][0], made.columns_said()[2]],
    }
    nothing = {
        "label": None,
        "prediction": None,
        "probabilities": None,
        "confidence": None,
        "classes": [],
        "slices": [],
    }
    run = {
        **made.run("summaries"),
        "task": "seq2seq",
        **nothing,
        "rows": packed(np.arange(made.n), "uint32"),
        "said": said,
        "expected": expected,
    }
    return {
        **page,
        "kind": "run",
        "title": "summaries",
        "label": {"column": "summary", "kind": "seq2seq", "names": []},
        "runs": [run],
        "queues": [],
    }


def multi_page() -> Page:
    """A run of several labels a sample."""
    made = Made(200)
    page = run_page(made)
    sets = [sorted({code, row % 3}) for row, code in enumerate(made.label.tolist())]
    labels = [
        "" if row % 11 == 0 else json.dumps([CLASSES[c] for c in codes]) for row, codes in enumerate(sets)
    ]
    [run] = page["runs"]
    rows = np.flatnonzero(made.split > 0)
    texts = [", ".join(CLASSES[code] for code in sets[row]) for row in rows]
    run |= {"task": "multi", "label": None, "prediction": None, "said": texts, "expected": texts}
    page["samples"] |= {"labels": labels}
    return {**page, "label": {"column": "tags", "kind": "multi", "names": CLASSES}, "queues": []}


def many_classes_page(n_classes: int = 120) -> Page:
    """More classes than a matrix shows at first."""
    return run_page(
        Made(3000, [f"class {code:03d}" for code in range(n_classes)], seed=5), probabilities="uint8"
    )


def large_page(n: int, n_thumbs: int = 0) -> Page:
    """A set of many points: blobs, with pictures of noise, which pack worst."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 10, n)
    centres = rng.normal(0, 6, (10, 2))
    place = centres[label] + rng.normal(0, 1, (n, 2)) * (1 + label[:, None] % 3)
    noise = [webp(rng.integers(0, 256, (72, 72, 3), np.uint8), 10) for _ in range(min(n_thumbs, 50))]
    thumbs = {
        "rows": packed(np.sort(rng.choice(n, n_thumbs, False)), "uint32"),
        "images": [noise[i % 50] for i in range(n_thumbs)],
    }
    return {
        **_frame("set", f"{n:,} points", CLASSES),
        "samples": {
            "n": n,
            "ids": [f"images/{row:07d}.png" for row in range(n)],
            "keys": packed(rng.integers(0, 256, (n, 16), np.uint8), "uint8"),
            "columns": [
                category("split", SPLITS, rng.choice(3, n)),
                category("label", CLASSES, label),
                number("meta:price", rng.lognormal(3, 1, n)),
                category("meta:colour", COLOURS, rng.integers(-1, 5, n)),
            ],
            "labels": None,
            "texts": None,
            "thumbs": thumbs if n_thumbs else None,
        },
        "points": {
            "x": packed(place[:, 0], "float32"),
            "y": packed(place[:, 1], "float32"),
            "method": "PCA",
            "note": "",
        },
        "neighbours": None,
        "runs": [],
        "comparison": None,
        "queues": [],
    }


def empty_page() -> Page:
    """A set of nothing."""
    samples = {
        "n": 0,
        "ids": [],
        "keys": packed(np.zeros((0, 16)), "uint8"),
        "columns": [],
        "labels": None,
        "texts": None,
        "thumbs": None,
    }
    return {
        **_frame("set", "", []),
        "set": None,
        "label": None,
        "samples": samples,
        "points": None,
        "neighbours": None,
        "runs": [],
        "comparison": None,
        "queues": [],
    }


def _frame(kind: str, title: str, classes: Sequence[str]) -> Page:
    return {
        "format": 1,
        "kind": kind,
        "title": title,
        "about": [["backbone", "timm:resnet18"], ["tap", "final.mean"], ["features", "512 numbers a sample"]],
        "version": "0.9.0",
        "created": "2026-11-29T12:00:00+00:00",
        "notes": [
            "Pictures of 400 of 1,372 samples are on this page: mistakes and finds of the audit first."
        ],
        "set": {"name": "clothing", "digest": "0123456789abcdef"},
        "label": {"column": "category", "kind": "single", "names": list(classes)},
    }
