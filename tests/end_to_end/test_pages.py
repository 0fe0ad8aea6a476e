"""README and the pages of docs/ run as they are written, top to bottom, on small data in a fresh folder."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import shutil
import struct
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..backbones.tiny_vision import clip, vit
from ..tuning.writers import rows, save_writer, write_rows
from .conftest import CLASSES, Result, some_texts, write_image, write_texts

Runner = Callable[..., Result]
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)

STAND_INS = {
    "cat/003.jpg": "circle/003.png",
    "timm:vit_small_patch16_dinov3": "hf:tiny-vit",
    "timm:resnet50.a1_in1k": "bundled:efficientnet-lite0",
    "hf:openai/clip-vit-base-patch32": "hf:tiny-clip",
    "hf:google-t5/t5-small": "hf:tiny-t5",
    "hf:intfloat/e5-small-v2": "bundled:all-minilm-l6-v2",
    "bundled:all-mpnet-base-v2": "bundled:all-minilm-l6-v2",
}
"""What the pages name, most of it weights of a hub, and what stands in for it here."""

EXTRACT_PHOTOS = "headstart extract photos/ --backbone bundled:efficientnet-lite0 --set photos"
EXTRACT_REVIEWS = "headstart extract reviews.csv --backbone bundled:all-minilm-l6-v2 --set reviews"
OF_SEVERAL = "headstart fit-head reviews-all-minilm-l6-v2 --label "
BEFORE: dict[str, list[str]] = {
    "visualising": [
        EXTRACT_PHOTOS,
        "headstart fit-head photos --head ridge --out runs/photos",
        "headstart fit-head photos --head linear --param epochs=3 --out runs/photos-linear",
    ],
    "audits": [EXTRACT_PHOTOS],
    "corrections": [EXTRACT_REVIEWS],
    "comparing": [
        EXTRACT_PHOTOS,
        "headstart fit-head photos --head ridge --out runs/ridge",
        "headstart fit-head photos --head mlp --param epochs=2 --out runs/mlp",
        "headstart fit-head photos --head centroid --out runs/full",
        "headstart evaluate runs/ridge photos/ --name march",
        "headstart evaluate runs/mlp photos/ --name march",
    ],
    "few-labels": [
        EXTRACT_REVIEWS,
        EXTRACT_PHOTOS,
    ],
    "few-shots": [EXTRACT_PHOTOS],
    "searching": [EXTRACT_REVIEWS, EXTRACT_PHOTOS],
    "zero-shot": [EXTRACT_PHOTOS],
    "heads": [EXTRACT_PHOTOS],
    "looking": [
        EXTRACT_PHOTOS,
        "headstart fit-head photos --head ridge --out runs/ridge",
        "headstart fit-head photos --head mlp --param epochs=2 --out runs/mlp",
    ],
    "many-labels": [
        "headstart extract reviews.jsonl --backbone bundled:all-minilm-l6-v2 --label-column topic,tags,stars",
        OF_SEVERAL + "all --head mlp --shared-trunk --param epochs=2 --out runs/shared",
        OF_SEVERAL + "stars --head ridge --out runs/stars-alone",
    ],
    "sharing-a-cache": [EXTRACT_PHOTOS],
    "speed": [EXTRACT_REVIEWS + " --taps last.tokens"],
    "tracking": [
        EXTRACT_PHOTOS,
        "headstart fit-head photos --head ridge",
        "headstart fit-head photos --head ridge --out runs/pets/ridge",
    ],
    "using-a-run": [
        EXTRACT_REVIEWS,
        "headstart fit-head reviews --head linear --param epochs=2 --out runs/cards",
        "headstart fit-head reviews --head mlp --param epochs=2 --out runs/cards-mlp",
        EXTRACT_PHOTOS,
        "headstart fit-head photos --head ridge --out runs/photos",
    ],
}
"""By page what its reader has done already."""

LEFT_OUT = {
    "cat new.jsonl": "a pipe; test_predict_inputs.py reads standard input",
    "make ": "the test command itself, and make demo, which installs",
    "export HEADSTART_CACHE": "a variable of the shell",
    "hf:google/siglip": "its weights lie on the hub",
    "hf:PolyAI/banking77": "data of the hub",
    "s3://acme-features": "a bucket; tests/sharing pushes to one of its own",
    "hf:acme/photos": "a repository of the hub; tests/sharing has a hub of its own",
    "pip install": "what the tests run in has all extras",
    "s3://our-bucket": "a bucket; tests/remote has one, and runs the code",
    "a red dress": "a dual encoder's weights lie on the hub; tests/retrieval searches by a tiny one",
    "s3://": "a bucket of the reader's; tests/remote reads from one",
    "https://example.org": "a server of the reader's; tests/remote reads from one",
    "shards/": "tars, which test_containers.py extracts",
    "--label colour": "the stand-ins have one label; test_audit_command.py and test_rank_and_project.py name another",
    "label:colour": "the same",
    "--method umap": "umap-learn is in no extra of the tests",
    "--ray-address": "a cluster of the reader's; tests/extraction/test_ray.py and tests/tuning have raylets",
    "benchmarks/scale.py": "takes half an hour",
    "--track wandb": "wandb is in no extra of the tests",
    "vectors.npy": "a reader's own vectors; tests/cache/test_import.py imports such",
    "--to timm": "no run of this page is on a timm: backbone; test_export.py has one",
    'label=["topic", "stars"]': "begins with a set of the reader's; test_many_labels.py runs the same",
    "from_pretrained(FOLDER": "begins with a folder of the reader's; test_early_stop.py cuts a model",
    "block_importance": "begins with a head and arrays of the reader's; test_block_importance.py runs it",
    "hs.compare([run, full])": "begins with runs of the reader's; test_compare.py runs the same",
    "classify(": "runs where there is no headstart; test_export.py runs it there",
}
"""Parts of lines and blocks that are not run here, each with the reason."""

QUICK = ("audits", "own-backbone", "spec")
PAGES = {path.stem: path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
PAGES = {
    name: path
    for name, path in PAGES.items()
    if name != "reference" and BLOCK.search(path.read_text("utf-8"))
}


COLUMNS = {"own-data": ("body", "stars"), "pipelines": ("text", "stars")}
"""By page the columns that its table of reviews has; elsewhere text and label."""


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Photos, texts and a ViT under the names that the page uses."""
    for number in range(90):
        write_image(Path("photos") / CLASSES[number % 3] / f"{number:03d}.png", number)
    for path in ("new-photos/one.png", "a.jpg", "b.jpg"):
        write_image(Path(path), len(path))
    for table in ("reviews.csv", "texts.csv", "queries.csv", "new.csv", "march.csv"):
        write_texts(Path(table), some_texts(80), COLUMNS.get(name, ("text", "label")))
    write_sets_of_tutorials()
    WRITERS.get(name, lambda: None)()
    Path("data").mkdir()
    shutil.copy("reviews.csv", "data/reviews.csv")
    shutil.copytree(ROOT / "pipelines", "pipelines")
    vit(Path("tiny-vit"))
    if name == "text-generation":
        save_writer(Path("tiny-t5"), "t5")
        pairs = [{"source": row["input"], **row} for row in rows(50)]
        write_rows(Path("pairs.jsonl"), [{n: v for n, v in row.items() if n != "input"} for row in pairs])
        write_rows(Path("new.jsonl"), [{"source": row["source"]} for row in pairs])
    monkeypatch.syspath_prepend(str(tmp_path))


def write_sets_of_tutorials() -> None:
    """A few samples of each set that own-data.md names, as people get it."""
    for number, (split, kind) in enumerate(product(("train", "test"), CLASSES[:2])):
        for text in range(4):
            folder = Path("aclImdb", split, kind)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{text}_7.txt").write_text(f"{kind} film {number} {text}")
    for group, text in product(("alt.atheism", "sci.med"), range(4)):
        Path("20_newsgroups", group).mkdir(parents=True, exist_ok=True)
        Path("20_newsgroups", group, f"{51_000 + text}").write_bytes(
            f"caf\xe9 {group} {text}".encode("latin-1")
        )
    for number, (above, kind) in enumerate((("pets", "cat"), ("pets", "dog"), ("birds", "owl"))):
        for photo in range(4):
            write_image(Path("animals", above, kind, f"{photo}.png"), 10 * number + photo)
    raw = Path("FashionMNIST", "raw")
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    (raw / "train-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 12, 28, 28) + pixels.tobytes())
    (raw / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 12) + bytes([0, 1] * 6))


def write_reviews_of_several_labels() -> None:
    """Reviews with a topic, tags and stars."""
    texts = [text for text, _ in some_texts(80)]
    labelled = [
        {
            "text": text,
            "topic": "ab"[number % 2],
            "tags": [["x"], ["x", "y"]][number % 2],
            "stars": number % 5 + 0.5,
        }
        for number, text in enumerate(texts)
    ]
    for path in ("reviews.jsonl", "march.jsonl", "new.jsonl"):
        write_rows(Path(path), labelled)


def write_news() -> None:
    """Sentences with tags, as CoNLL has them."""
    Path("news").mkdir()
    for split, n in (("train", 24), ("test", 8)):
        sentences = [f"Anna{number} B-PER\nmet O\nBonn{number} B-LOC\n. O\n" for number in range(n)]
        Path("news", f"{split}.conll").write_text("\n".join(sentences))


def write_questions() -> None:
    """Questions with their contexts, as SQuAD has them, and some that nobody answered."""
    asked = [
        (f"Who won game {number}?", f"In game {number} team{number} won.", f"team{number}")
        for number in range(24)
    ]
    articles = [
        {"title": question, "paragraphs": [{"context": context, "qas": [{
            "id": question, "question": question,
            "answers": [{"text": answer, "answer_start": context.index(answer)}],
        }]}]}
        for question, context, answer in asked
    ]  # fmt: skip
    Path("squad").mkdir()
    for split, some in (("train", articles[:18]), ("dev", articles[18:])):
        Path("squad", f"{split}.json").write_text(json.dumps({"version": "1.1", "data": some}))
    write_rows(
        Path("asked.jsonl"), [{"question": question, "context": context} for question, context, _ in asked]
    )


def write_names() -> None:
    """Names of classes, and a dual encoder."""
    Path("names.txt").write_text("\n".join(CLASSES))
    clip(Path("tiny-clip"))


def write_messages() -> None:
    """Texts that nobody has labelled, a line each, and a few that somebody has."""
    lines = [
        f"{'where is' if row % 3 else 'I never got'} my {row % 7} card number {row}" for row in range(150)
    ]
    Path("messages.txt").write_text(
        "\n".join(line + ("?" if "where" in line else "") for line in lines), "utf-8"
    )
    write_texts(Path("tickets.csv"), some_texts(60), ("text", "category"))


def write_banking() -> None:
    """Questions with their intents, in two tables."""
    Path("banking77").mkdir()
    for split, n in (("train", 60), ("test", 20)):
        write_texts(Path("banking77", f"{split}.csv"), some_texts(n), ("text", "category"))


WRITERS = {
    "few-labels": write_messages,
    "zero-shot": write_names,
    "embedder": write_banking,
    "many-labels": write_reviews_of_several_labels,
    "named-entities": write_news,
    "question-answering": write_questions,
}
"""By page what else its reader has."""


NEEDS = {"embedder": ("mteb", "langchain_core", "faiss")}
"""By page libraries that no extra of the tests brings; it runs where they are installed."""


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PAGES]
)
def test_a_page_runs_from_top_to_bottom(headstart: Runner, name: str) -> None:
    for library in NEEDS.get(name, ()):
        pytest.importorskip(library)
    for line in BEFORE.get(name, ()):
        run_line(headstart, line)
    names: dict[str, Any] = {}
    for language, block in BLOCK.findall(PAGES[name].read_text("utf-8")):
        for spec, other in STAND_INS.items():
            block = block.replace(spec, other)
        if language == "python":
            run_python(block, names)
            continue
        for line in block.splitlines():
            run_line(headstart, line)


def run_line(headstart: Runner, line: str) -> None:
    words = shlex.split(line, comments=True)
    if not words or any(part in line for part in LEFT_OUT):
        return
    assert words[0] == "headstart", f"not run, and no reason given: {line}"
    done = headstart(*words[1:])
    assert done.code == 0, (line, done.err)


def run_python(block: str, names: dict[str, Any]) -> None:
    """A file that the page names is written; what a session shows is compared; all else is run."""
    if any(part in block for part in LEFT_OUT):
        return
    if named := re.match(r"# (\w+\.py)\n", block):
        Path(named[1]).write_text(block, "utf-8")
    elif block.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(block, names, "page", None, 0)
        assert doctest.DocTestRunner(verbose=False).run(test, clear_globs=False).failed == 0
        names.update(test.globs)
    else:
        exec(compile(block, "page", "exec"), names)


def everything() -> Iterator[str]:
    for path in PAGES.values():
        yield path.read_text("utf-8")


@pytest.mark.parametrize("part", LEFT_OUT)
def test_what_is_left_out_is_still_on_a_page(part: str) -> None:
    assert any(part in page for page in everything())
