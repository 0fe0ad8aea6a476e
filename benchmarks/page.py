"""The page of the figures: ``docs/benchmarks.md``, from results that were kept.

    python -m benchmarks.page

renders it again. There is a file of results for each kind of processor; promises are judged on every one of them, and
tables are those of the newest file that has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.data import REPOSITORY
from benchmarks.external import figures
from benchmarks.forms import SHORT
from benchmarks.promises import Promise, promises
from benchmarks.results import Results, Section, Table, load
from benchmarks.rounds import Timing

PAGE = REPOSITORY / "docs" / "benchmarks.md"
RESULTS = REPOSITORY / "benchmarks" / "results"
PROCESSORS = {"AVX512": "avx512", "AVX2": "avx2"}
"""By what its name says: the file of results of such a processor."""
TITLES = {
    "texts": "Texts",
    "images": "Images",
    "commands": "Everything counted",
    "features": "Many features, new samples, copies",
    "runs": "Saving a run",
    "runtimes": "Two runtimes",
    "agreement": "Agreement",
    "reading": "Reading back",
    "scaling": "Cost against the number of samples",
    "scale": "A million samples and more",
    "gpu": "On a GPU",
}
ABOUT = {
    "texts": """From a table of texts to a committed set, for headstart: the cache is empty, the machine knows the
backbone and has it converted. From texts in memory to an array, for the others. Loading the model is counted for none.
The model is all-MiniLM-L6-v2 in fp32, but where OpenVINO chooses for itself (bf16 where the processor has it). The loop
that pads cuts texts at 128 tokens, all others at 256: it leaves out the ends of long texts; it and the
pipeline embed every fourth text. A batch size that is called best was found by trying powers of two beforehand. The
ceilings' token tensors are in memory, sorted by length; torch runs one batch over all cores, OpenVINO shares its
batches out as it likes.""",
    "images": """From image files to a committed set, for headstart: the cache is empty, the machine knows the backbone
and has it converted. From image files to an array, for the plain timm loop: `ImageFolder`, a `DataLoader` with a worker
for each core. Loading the model is counted for none. The model is EfficientNet-Lite0 in fp32.""",
    "commands": """The installed command against the plain scripts that `benchmarks/text_peers.py` and
`benchmarks/image_peers.py` are: wall time of a process from its start to its exit, with imports, loading the model,
compiling where that is done, and writing the features. All caches are empty each time, and the machine knows nothing:
torch computes a thousand photos to their end, and is left on the way through ten thousand. What that is against a loop
over batches of 64, which waits for memory, differs by how fast the cores are: the promise is what slow ones keep.""",
    "features": """headstart against itself, from samples to a committed set, the model converted before; loading it is
not counted. "The model alone" is OpenVINO's own queue over batches of 16 texts or 4 photos in memory.""",
    "runs": """Short texts whose classes are named in them. `run.save` is timed after a first in the process;
the command from its start to its exit, less the seconds of its fit that its report says.""",
    "runtimes": """Whole commands from start to exit, with imports. "Converted before": `backbones prepare` ran once
on the machine, whose memos are kept; the cache is empty each time, but for the one text, whose cache holds what the
head was fitted on. The very first run knows nothing of the model. Peers are the plain scripts of `benchmarks/`.
Networks that are nearly all large matrix products (ViT, ConvNeXt) gain little: where cores are slow, torch in lanes
comes to eight or nine tenths of what bare matrix products reach on them, and a runtime can only gain the rest.""",
    "agreement": """The largest difference between two ways to compute a feature, over all samples, as a share of the
largest value of the vector.""",
    "reading": """The set as it is stored, read by headstart and by others, from the page cache. headstart's rows are
in the set's order, which is not that of the file, and come with labels; with two slow cores scattering them is 1.4 ×
the `numpy.load` of a file of features alone, and the labels are 0.3 × of it. In order a memory map of float32 is
copied into one batch that stays in the processor's cache; numpy itself reaches a third of that with random rows, so
that these are what a shuffled epoch is held against.""",
    "scaling": """One extraction after the other with a tiny backbone, so that headstart's own work is what is seen.""",
    "scale": """Commands on sets of short texts with features of 8 dimensions, each in a process of its own: the
processor time of all its threads, that time for each sample, and the most memory that was resident. Above a million
samples, and wherever no row says that they are computed, the features are drawn. See [scale](scale.md).""",
    "gpu": """ViT-B/16 and BERT-base with random weights. The ceiling's tensors lie on the device already. Decoded
images are bitmaps of the model's size, so that nothing is left to decode or to resize.""",
}
ROUGH = "These are figures of the short form: too few samples and rounds to judge a promise by."
NO_GPU = "No GPU was there when this page was made."


def results_of(processor: str) -> Path:
    """Where the figures of a processor are kept.

    Examples
    --------
    >>> [results_of(name).name for name in ("AMD EPYC (AVX2)", "Intel Xeon (AVX512)", "Apple M4")]
    ['avx2.json', 'avx512.json', 'other.json']
    """
    found = (name for mark, name in PROCESSORS.items() if mark in processor)
    return RESULTS / f"{next(found, 'other')}.json"


def kept() -> list[Results]:
    """All figures that are kept, those of the processor that was measured last first."""
    return sorted(map(load, RESULTS.glob("*.json")), key=_date, reverse=True)


def render(*by_processor: Results) -> str:
    """The page: of figures by processor, the newest first."""
    results: Results = {}
    for older in reversed(by_processor):
        results |= older
    is_rough = any(section.form.startswith(SHORT.name) for section in results.values())
    blocks = [
        "# Benchmarks",
        "headstart beside the tools that people use for the same job, and beside the most that the machine can give.\n"
        "Contestants take turns in one run (A B C, A B C, …), so that a busy moment hits them alike. Tables give the\n"
        "median of the rounds and their spread from the least to the most; what is compared are medians.",
        "Measure it again with `make bench` (two hours) or `make bench-short` (two minutes, rough figures);\n"
        "`DATA=folder` names a folder with `banking77/train.csv` and `clothing/train/<class>/*.jpg`.",
        _machines(results),
        "## Promised and measured",
        *([ROUGH] if is_rough else []),
        _promised(by_processor, is_rough),
        *(block for name in TITLES for block in _section(name, results.get(name))),
    ]
    return "\n\n".join(blocks) + "\n"


def table(shown: Table) -> str:
    """A table in Markdown."""
    unit = "a second" if shown.in_rates else "seconds"
    lines = [f"| | {unit} (median) | least–most | {shown.versus} |", "|---|---:|---:|---:|"]
    for key, row in shown.rows.items():
        ratio = "" if key == shown.reference else f"{shown.ratio(key):.2f}"
        lines.append(f"| {row.label} | {_figures(row, shown.in_rates)} | {ratio} |")
    return "\n".join(lines)


def _figures(row: Timing, in_rates: bool) -> str:
    values = [row.n / seconds for seconds in row.seconds] if in_rates else list(row.seconds)
    middle = row.rate if in_rates else row.median
    return f"{_plain(middle)} | {_plain(min(values))}–{_plain(max(values))}"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _section(name: str, section: Section | None) -> Iterator[str]:
    if section is None and name != "gpu":
        return
    yield f"## {TITLES[name]}"
    if section is None or (name == "gpu" and not section.tables):
        yield NO_GPU
        return
    yield ABOUT[name]
    for shown in section.tables.values():
        yield f"### {shown.title}"
        if shown.said:
            yield f"{shown.said}."
        yield table(shown)
        if notes := _notes(shown):
            yield notes
    facts = {fact.label: f"{fact.value:.1e}" if fact.value else "0" for fact in section.facts.values()}
    groups = figures(section.report) | ({"": facts} if facts else {})
    for title, rows in groups.items():
        lines = [f"| {label} | {value} |" for label, value in rows.items()]
        yield "\n".join([f"| {title} | |", "|---|---:|", *lines])


def _notes(shown: Table) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in shown.shares.items())
    lines = [*([f"headstart's cores: {shares}"] if shares else []), *shown.notes]
    return "\n".join(f"- {line}" for line in lines)


def _promised(by_processor: Sequence[Results], is_rough: bool) -> str:
    """A row for each promise, a column for each processor."""
    names = [_processor(results) for results in by_processor]
    lines = [f"| | promised | {' | '.join(names)} | kept |", f"|---|---|{'---|' * len(names)}---|"]
    for found in zip(*map(promises, by_processor), strict=True):
        first, cells = found[0], [_measured(promise) for promise in found]
        said = f"{first.said}: {'≥' if first.at_least else '≤'} {first.bound:g}"
        holds = "yes" if all(promise.holds for promise in found) else "**no**"
        verdict = holds if any(promise.measured for promise in found) and not is_rough else ""
        lines.append(f"| {first.number} | {said} | {' | '.join(cells)} | {verdict} |")
    said = "out of memory, dead workers, hanging readers: nothing committed is lost"
    lines.append(f"| 9 | {said} | {' | '.join(['by the tests'] * len(names))} | |")
    return "\n".join(lines)


def _measured(promise: Promise) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in promise.measured.items()) or "not measured"


def _processor(results: Results) -> str:
    return next((section.machine.get("processor", "") for section in results.values()), "")


def _date(results: Results) -> str:
    return max((section.machine.get("date", "") for section in results.values()), default="")


def _machines(results: Results) -> str:
    """The machines that sections were measured on, each once."""
    by_machine: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, section in results.items():
        by_machine.setdefault(tuple({**section.machine, "form": section.form}.items()), []).append(name)
    blocks = []
    for machine, names in by_machine.items():
        what = "" if len(by_machine) == 1 else f" for {', '.join(TITLES[name].lower() for name in names)}"
        lines = [f"| machine{what} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


if __name__ == "__main__":
    PAGE.write_text(render(*kept()), "utf-8")
