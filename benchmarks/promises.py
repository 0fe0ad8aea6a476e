"""What headstart promises of its speed, beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.external import number
from benchmarks.results import Results, Table

TEN_MILLION = 10_000_000
TEXTS = {"short": "short", "long": "long", "fifty": "50 tokens"}


@dataclass(frozen=True)
class Promise:
    """A promise and its figures.

    Parameters
    ----------
    number : int
        Of the promise that it is a part of.
    said : str
        Without the bound.
    bound : float
    at_least : bool
        Whether figures must reach the bound; else they must not pass it.
    measured : dict of str to float
        By what it was measured on; empty: it was not measured.
    """

    number: int
    said: str
    bound: float
    at_least: bool
    measured: dict[str, float]

    @property
    def holds(self) -> bool:
        """Whether every figure keeps it."""
        values = self.measured.values()
        return all(value >= self.bound if self.at_least else value <= self.bound for value in values)


def promises(results: Results) -> list[Promise]:
    """All promises, in their order, with the figures that there are."""
    return [
        *_texts(results), *_photos(results), *_features(results), *_agreement(results), *_growth(results),
        *_programs(results), *_gpu(results), *_runs(results), *_runtimes(results), *_scale(results),
    ]  # fmt: skip


def _texts(results: Results) -> list[Promise]:
    tables = {said: table for key, said in TEXTS.items() if (table := _table(results, "texts", key))}

    def against(row: str) -> dict[str, float]:
        return {said: table.ratio(row) for said, table in tables.items()}

    cut = {said: table for said, table in tables.items() if said != TEXTS["long"]}
    to_ceiling = {said: _to_ceiling(table) for said, table in tables.items()}
    return [
        Promise(1, "texts: rate as a share of the bare forward", 0.93, True, to_ceiling),
        Promise(1, "texts: × sentence-transformers at its defaults", 1.15, True, against("st")),
        Promise(1, "texts: × sentence-transformers at its best batch size", 1.0, True, against("st-best")),
        Promise(
            1,
            "texts that fit into it: × the loop that pads to 128",
            2.0,
            True,
            {said: table.ratio("padded") for said, table in cut.items()},
        ),
        *(
            Promise(
                1,
                f"texts: × sentence-transformers with {name}, best batch size",
                1.0,
                True,
                against(f"st-{key}"),
            )
            for key, name in {"openvino": "OpenVINO", "onnx": "ONNX"}.items()
            if all(f"st-{key}" in table.rows for table in tables.values())
        ),
    ]


def _photos(results: Results) -> list[Promise]:
    photos = _table(results, "images", "photos")
    named = {"photos": "photos", "small images": "small"}
    tables = {said: table for said, key in named.items() if (table := _table(results, "images", key))}
    share = {said: table.ratio("both") for said, table in tables.items()}
    loop = {"photos": photos.ratio("timm-best")} if photos and "timm-best" in photos.rows else {}
    whole = {n: _table(results, "commands", f"photos-{n}") for n in (1000, 10_000)}
    said = "the very first run on photos, everything counted: × the plain timm loop, on {:,}"
    return [
        Promise(2, "images: rate as a share of 1 / (1/forward + 1/decode)", 0.93, True, share),
        Promise(2, "photos: × the plain timm loop at its best batch and layout", 1.3, True, loop),
        *(
            Promise(2, said.format(n), bound, True, {"photos": table.ratio("timm")} if table else {})
            for (n, table), bound in zip(whole.items(), (1.5, 2.5), strict=True)
        ),
    ]


def _features(results: Results) -> list[Promise]:
    named = {"texts": "taps-texts", "photos": "taps-photos"}
    tables = {said: table for said, key in named.items() if (table := _table(results, "features", key))}
    nine = {said: table.ratio("nine") for said, table in tables.items()}
    alone = {said: table for said, table in tables.items() if "one-pass" in table.rows}
    half = {said: table.ratio("half-pass", "one-pass") for said, table in alone.items()}
    saved = {said: _saved(table) for said, table in alone.items()}
    return [
        Promise(3, "three layers × three poolings: × one tap", 1.10, False, nine),
        Promise(3, "a tap at half depth: the model alone, × the full pass", 0.6, False, half),
        Promise(
            3,
            "the same from end to end: what is saved, as a share of what the model alone saves",
            0.9,
            True,
            saved,
        ),
    ]


def _saved(table: Table) -> float:
    """Reading and decoding cost the same at any depth: only the model's time can be saved."""
    one, half, whole, part = (table.rows[key].share for key in ("one", "half", "one-pass", "half-pass"))
    return (one - half) / (whole - part)


def _agreement(results: Results) -> list[Promise]:
    alone = _facts(results, {"texts": "texts-alone", "photos": "photos-alone"})
    peers = _facts(results, {"texts": "texts-peer", "photos": "photos-peer"})
    return [
        Promise(4, "largest difference in any batch, of a vector's largest value", 1e-5, False, alone),
        Promise(4, "the same, compiled where it pays, against the eager loops of others", 1e-4, False, peers),
    ]


def _growth(results: Results) -> list[Promise]:
    named = {"texts": "growth-texts", "photos": "growth-photos"}
    tables = {said: table for said, key in named.items() if (table := _table(results, "features", key))}
    new = {said: table.ratio("new") for said, table in tables.items()}
    twice = {said: table.ratio("twice") for said, table in tables.items() if "twice" in table.rows}
    return [
        Promise(
            5, "one percent of new samples: share of the full extraction, loading aside", 0.03, False, new
        ),
        Promise(5, "every sample twice: × each once (nothing, within 5 %)", 1.05, False, twice),
    ]


def _programs(results: Results) -> list[Promise]:
    """Those of the parts that are programs of their own."""

    def ratios(section: str, **sought: str) -> dict[str, float]:
        report = results[section].report if section in results else {}
        found = {said: number(report, "ratios", key) for said, key in sought.items()}
        return {said: value for said, value in found.items() if value is not None}

    def shuffled(reference: str) -> dict[str, float]:
        kinds = ("float16", "float32")
        return ratios("reading", **{kind: f"shuffled_{kind}_rate_to_{reference}" for kind in kinds})

    memory = ratios("scaling", first="memory", again="memory_again")
    cheapest = _table(results, "texts", "short")
    writing = {"short texts": cheapest.shares["write"]} if cheapest and "write" in cheapest.shares else {}
    stored = ratios("reading", stored="stored_to_numpy_load")
    upcast = ratios("reading", upcast="upcast_to_astype")
    return [
        Promise(6, "peak memory at 1,000,000 rows: × that at 100,000", 1.3, False, memory),
        Promise(6, "storing: share of the cores' time with the cheapest backbone", 0.02, False, writing),
        Promise(
            7,
            "float16 as it is stored, in the set's order and with labels, 1 to 20 shards: × `numpy.load`",
            1.8,
            False,
            stored,
        ),
        Promise(7, "the upcast to float32: × `astype`", 0.6, False, upcast),
        Promise(
            7,
            "a shuffled epoch: rate as a share of headstart's in order",
            0.5,
            True,
            shuffled("ours_in_order"),
        ),
        Promise(
            7,
            "a shuffled epoch: rate as a share of a memory map's at random rows",
            0.5,
            True,
            shuffled("map_at_random"),
        ),
    ]  # fmt: skip


def _scale(results: Results) -> list[Promise]:
    """Of ten million samples: what was measured on fewer keeps no promise."""
    report = results["scale"].report if "scale" in results else {}
    named = {
        "megabytes": ("10,000,000 samples: the most memory of a command that was measured, in megabytes", 4295),
        "megabytes_adding": ("1,000 samples added to 10,000,000: megabytes", 2147),
        "processor_seconds_adding_beside_reading": (
            "the same: seconds of processor time beside reading the data", 60,
        ),
    }  # fmt: skip
    is_large = (number(report, "largest", "samples") or 0) >= TEN_MILLION
    found = {key: number(report, "largest", key) for key in named} if is_large else {}
    return [
        Promise(12, said, bound, False, {"texts": value} if (value := found.get(key)) is not None else {})
        for key, (said, bound) in named.items()
    ]


def _gpu(results: Results) -> list[Promise]:
    named = {"BERT-base, from texts": "texts", "ViT-B/16, from decoded images": "images"}
    tables = {said: table for said, key in named.items() if (table := _table(results, "gpu", key))}
    shares = {said: _to_ceiling(table) for said, table in tables.items()}
    return [Promise(8, "on a GPU in bf16: rate as a share of the bare forward", 0.9, True, shares)]


def _runs(results: Results) -> list[Promise]:
    said = {
        "ten": ("saving a run with its plots, 10 classes, in seconds", 0.5),
        "many": ("the same, 77 classes and everything that has a plot", 1.0),
        "command": ("`fit-head` beside its fit, in seconds", 3.0),
    }
    table = _table(results, "runs", "runs")
    return [
        Promise(10, words, bound, False, {"runs": table.rows[key].median} if table else {})
        for key, (words, bound) in said.items()
    ]


def _runtimes(results: Results) -> list[Promise]:
    tables = {name: _table(results, "runtimes", name) for name in ("texts", "photos", "one", "networks")}
    texts, photos, one, networks = tables.values()
    gains = {
        row.removesuffix(", openvino"): networks.ratio(row.replace("openvino", "torch"), row)
        for row in (networks.rows if networks else ())
        if row.endswith("openvino")
    }
    new = (one.rows["openvino"].median - 0.5) / one.rows["import"].median if one else 0.0
    return [
        Promise(11, "converted, whole command: × sentence-transformers", 1.0, True, _one("texts", texts, "peer")),
        Promise(
            11, "converted, whole command: × `encode` alone, without its imports", 1.0, True,
            _one("texts", texts, "encode"),
        ),
        Promise(
            11, "the very first run: × sentence-transformers", 1.0, True, _one("texts", texts, "peer", "first")
        ),
        Promise(11, "converted, whole command: × the same by torch", 1.6, True, _one("photos", photos, "torch")),
        Promise(11, "converted, whole command: × the plain timm loop", 3.5, True, _one("photos", photos, "peer")),
        Promise(11, "other networks, converted: × torch", 1.0, True, gains),
        Promise(
            11, "`predict` of a new text less half a second: × the import of a model", 0.35, False,
            {"one text": new} if one else {},
        ),
        Promise(
            11, "`predict` of a text that is held, in seconds", 1.3, False,
            {"one text": one.rows["held"].median} if one else {},
        ),
    ]  # fmt: skip


def _one(said: str, table: Table | None, row: str, reference: str = "openvino") -> dict[str, float]:
    return {said: table.ratio(row, reference)} if table and row in table.rows else {}


def _to_ceiling(table: Table) -> float:
    return min(table.ratio(row) for row in ("eager", "compiled", "openvino") if row in table.rows)


def _table(results: Results, section: str, key: str) -> Table | None:
    return results[section].tables.get(key) if section in results else None


def _facts(results: Results, named: dict[str, str]) -> dict[str, float]:
    facts = results["agreement"].facts if "agreement" in results else {}
    return {said: facts[key].value for said, key in named.items() if key in facts}
