"""The benchmark measures what it says it does. Nothing here looks at a time."""

from __future__ import annotations

import dataclasses
import doctest
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import agreement, external, gpu, image_peers, images, page, run, scale, text_peers, texts
from benchmarks.data import Data, Photos, generated_jpegs, part_of, write_csv, write_files
from benchmarks.forms import SHORT, Bench
from benchmarks.ours import FreshCache
from benchmarks.promises import promises
from benchmarks.results import Fact, Results, Section, Table, load, save
from benchmarks.rounds import Contestant, Timing, best_of, sum_of, take_turns

TEXTS = [
    "I am still waiting on my card?",
    "a",
    "The top up that I made yesterday has not arrived, and I was charged a fee for it all the same.",
    "Why was my payment declined",
]
SAME = 1e-5  # of a vector's largest value: other batches, other padding, other layouts
TINY = dataclasses.replace(
    SHORT, rounds=2, n_short=8, n_long=8, n_fifty=8, n_photos=8, n_small=8, n_taps=4, n_forward=8, n_gpu=16,
    n_whole_texts=(8,), n_whole_photos=(8,), peer_batches=(2, 4), text_batches=(2, 4), image_batches=(2, 4),
)  # fmt: skip


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, Any]:
    return text_peers.load_bare(text_peers.minilm_folder())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("photos") / "all"
    write_files(folder, generated_jpegs(6))
    return Photos("six", folder)


@pytest.fixture(scope="module")
def lite0() -> Any:
    return image_peers.lite0()


@pytest.fixture
def bench(tmp_path: Path, minilm: tuple[Any, Any]) -> Bench:
    """With docstrings that need not be gathered first."""
    long = [f"{text} {'Then it was sent back to me again. ' * (4 + n)}" for n, text in enumerate(TEXTS * 8)]
    write_csv(tmp_path / "docstrings.csv", long)
    return Bench(TINY, Data(None, tmp_path, minilm[1]), tmp_path, lambda line: None)


def scripted(seconds: list[float], log: list[str], label: str) -> Contestant:
    """A contestant whose turns take what is written down."""
    left: Iterator[float] = iter(seconds)

    def turn() -> float:
        log.append(label)
        return next(left)

    return Contestant(label, turn, 10)


def test_contestants_take_turns_and_medians_are_compared() -> None:
    log: list[str] = []
    contestants = {
        "ours": scripted([1.0, 9.0, 2.0], log, "A"),
        "theirs": scripted([4.0, 3.0, 5.0], log, "B"),
    }
    rows = take_turns(contestants, 3)
    assert log == ["A", "B", "A", "B", "A", "B"]
    assert (rows["ours"].median, rows["theirs"].median) == (2.0, 4.0)
    assert rows["ours"].rate == 5.0
    assert Table("", "", rows).ratio("theirs") == 2.0


def test_a_turn_leaves_torchs_threads_as_they_were() -> None:
    import torch

    before = torch.get_num_threads()

    def greedy() -> float:
        torch.set_num_threads(before + 3)
        return 1.0

    take_turns({"greedy": Contestant("greedy", greedy)}, 1)
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_the_best_batch_size_is_the_one_with_the_shortest_turns() -> None:
    assert best_of((8, 16, 32), lambda size: lambda: {8: 3.0, 16: 1.0, 32: 2.0}[size], 2) == 16


def test_cores_that_decode_and_compute_reach_the_sum_of_both_times() -> None:
    decode, forward = Timing("decode", 100, (2.0, 4.0, 3.0)), Timing("forward", 50, (1.0, 1.0, 1.0))
    both = sum_of("both", decode, forward)
    assert both.rate == pytest.approx(1 / (1 / decode.rate + 1 / forward.rate))
    assert both.seconds == (4.0, 6.0, 5.0)


def tables(ours: float, theirs: float) -> Results:
    """Results in which headstart and the others took so many seconds for as many texts."""
    took = {
        "ours": ours,
        "st": theirs,
        "st-best": theirs,
        "padded": theirs,
        "pipeline": theirs,
        "eager": ours,
    }
    rows = {key: Timing(f"row {key}", 100, (seconds,) * 3) for key, seconds in took.items()}
    section = Section(
        {"processor": "a fast one"},
        "long form: 3 rounds",
        {"short": Table("Short", "100 texts", rows, shares={"forward": 0.97, "write": 0.03})},
    )
    facts = {"texts-alone": Fact("alone", 3e-6)}
    reading = Section({"processor": "a fast one"}, "long form: 3 rounds", report={"ratios": {"to load": 1.2}})
    return {
        "texts": section,
        "agreement": dataclasses.replace(section, tables={}, facts=facts),
        "reading": reading,
    }


def test_results_are_kept_and_read_back(tmp_path: Path) -> None:
    results = tables(1.0, 2.0)
    save(tmp_path / "deep" / "results.json", results)
    assert load(tmp_path / "deep" / "results.json") == results
    assert load(tmp_path / "none.json") == {}


def test_the_page_shows_medians_spreads_and_whether_a_promise_is_kept() -> None:
    shown = page.render(tables(1.0, 1.5))
    assert "| row st | 66.7 | 66.7–66.7 | 1.50 |" in shown
    assert "| 1 | texts: × sentence-transformers at its defaults: ≥ 1.15 | short 1.5 | yes |" in shown
    assert "| 1 | texts that fit into it: × the loop that pads to 128: ≥ 2 | short 1.5 | **no** |" in shown
    assert "| alone | 3.0e-06 |" in shown
    assert "| ratios | |\n|---|---:|\n| to load | 1.2 |" in shown
    assert "- headstart's cores: forward 97.0%, write 3.0%" in shown
    assert (
        "storing: share of the cores' time with the cheapest backbone: ≤ 0.02 | short texts 0.03 | **no** |"
        in shown
    )
    assert page.NO_GPU in shown


def test_a_promise_is_kept_where_every_processor_keeps_it() -> None:
    assert doctest.testmod(page).failed == 0
    fast, slow = tables(1.0, 1.5), tables(1.0, 1.1)
    slow["texts"] = dataclasses.replace(
        slow["texts"], machine={"processor": "a slow one", "date": "2026-01-01"}
    )
    shown = page.render(slow, fast)
    assert "| | promised | a slow one | a fast one | kept |" in shown
    assert (
        "| 1 | texts: × sentence-transformers at its defaults: ≥ 1.15 | short 1.1 | short 1.5 | **no** |"
        in shown
    )
    assert (
        "| 1 | texts: × sentence-transformers at its best batch size: ≥ 1 | short 1.1 | short 1.5 | yes |"
        in shown
    )
    assert "| row st | 90.9 | 90.9–90.9 | 1.10 |" in shown  # tables are those of the first


def test_the_short_form_judges_no_promise() -> None:
    results = {
        name: dataclasses.replace(section, form=SHORT.said) for name, section in tables(1.0, 1.0).items()
    }
    shown = page.render(results)
    assert page.ROUGH in shown
    assert "**no**" not in shown


def test_a_promise_with_one_figure_out_of_bounds_is_not_kept() -> None:
    by_said = {promise.said: promise for promise in promises(tables(2.0, 1.0))}
    assert not by_said["texts: × sentence-transformers at its defaults"].holds
    assert by_said["texts: rate as a share of the bare forward"].holds


def test_the_figures_of_other_programs_are_read_as_they_come() -> None:
    assert doctest.testmod(external).failed == 0
    assert external.number({"ratios": {"load": 1.5}}, "ratios", "load") == 1.5
    assert external.number({"ratios": {}}, "ratios", "load") is None


def test_every_loop_gives_the_features_that_headstart_gives_for_texts(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "texts.csv", TEXTS)
    found = agreement.features_of(tmp_path, table, texts.BACKBONE)
    for name, load_peer in text_peers.PEERS.items():
        theirs = load_peer(text_peers.minilm_folder())(TEXTS)
        assert agreement.difference(found, theirs) < SAME, name


def test_the_loop_gives_the_features_that_headstart_gives_for_images(
    tmp_path: Path, photos: Photos, lite0: Any
) -> None:
    found = agreement.features_of(tmp_path, photos.folder, images.BACKBONE)
    theirs = image_peers.timm_loop(lite0, workers=0)(photos.folder)
    assert agreement.difference(found, theirs) < SAME


def test_the_ceiling_runs_over_every_text_once(minilm: tuple[Any, Any]) -> None:
    import torch

    kept: list[Any] = []
    text_peers.BareForward(*minilm, TEXTS, batch_size=3).run(lambda hidden: kept.append(hidden[:, 0]))
    longest_first = sorted(TEXTS, key=lambda text: -len(minilm[1](text)["input_ids"]))
    with torch.inference_mode():
        alone = [
            minilm[0](**minilm[1](text, return_tensors="pt")).last_hidden_state[0, 0]
            for text in longest_first
        ]
    assert agreement.difference(torch.cat(kept).numpy(), torch.stack(alone).numpy()) < SAME


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_ceiling_runs_over_whole_batches_of_images(
    photos: Photos, lite0: Any, channels_last: bool
) -> None:
    import torch

    images_ = image_peers.decode_all(photos.paths, image_peers.transform_of(lite0))
    bare = image_peers.BareForward(lite0, images_, batch_size=4, channels_last=channels_last)
    kept: list[Any] = []
    bare.run(kept.append)
    assert bare.n == 4
    theirs = image_peers.timm_loop(lite0, workers=0)(photos.folder)[:4]
    assert agreement.difference(torch.cat(kept).numpy(), theirs) < SAME


def test_each_turn_of_headstart_begins_with_an_empty_cache(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "texts.csv", TEXTS)
    ours = FreshCache(tmp_path, texts.BACKBONE, device="cpu")
    assert all(ours(table) > 0 for _ in range(2))
    assert [done.n_computed for done in ours.runs] == [len(TEXTS)] * 2
    assert all(done.loading > 0 for done in ours.runs)
    assert list(tmp_path.glob("cache-*")) == []


def test_texts_are_as_long_as_they_are_said_to_be(bench: Bench, minilm: tuple[Any, Any]) -> None:
    corpus = bench.data.texts_of_fifty(8)
    assert len(corpus.texts) == 8
    assert all(45 <= len(minilm[1](text)["input_ids"]) <= 55 for text in corpus.texts)


def test_more_photos_than_there_are_are_parts_of_them(photos: Photos) -> None:
    import io

    from PIL import Image

    jpeg = photos.paths[0].read_bytes()
    parts = [part_of(jpeg, seed) for seed in (1, 2, 1)]
    assert parts[0] == parts[2] != parts[1]
    (width, height), size = (Image.open(io.BytesIO(content)).size for content in (jpeg, parts[0]))
    assert 0.9 * width <= size[0] <= width
    assert 0.9 * height <= size[1] <= height


def test_photos_that_are_given_are_used_and_named(tmp_path: Path, photos: Photos) -> None:
    given = tmp_path / "given" / "clothing" / "train"
    write_files(given, ((f"hat/{path.name}", path.read_bytes()) for path in photos.paths))
    found = Data(tmp_path / "given", tmp_path, None).photos(10)
    assert len(found.paths) == len({path.read_bytes() for path in found.paths}) == 10
    assert found.said.startswith("10 clothing photos")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["texts", "images", "commands", "features", "runs", "runtimes", "agreement"])
def test_every_part_runs_to_its_end(name: str, bench: Bench) -> None:
    measured: dict[str, dict[str, Any]] = run.PARTS[name](bench)
    section = Section({}, TINY.said, **measured)
    assert section.tables or section.facts
    assert all(row.median > 0 for table in section.tables.values() for row in table.rows.values())
    assert page.TITLES[name] in page.render({name: section})


def test_tables_of_a_part_can_be_measured_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(bench: Bench) -> dict[str, Any]:
        made = {name: (lambda name=name: a_table(f"{name} anew")) for name in run.TABLES["texts"]}
        return {"tables": bench.only_chosen(made)}

    monkeypatch.setitem(run.PARTS, "texts", measure)
    # These tables lack the rows that promises are about.
    monkeypatch.setattr(page, "render", lambda *shown: "")
    monkeypatch.setattr(
        run, "prepare", lambda folder, form, data: Bench(form, data, folder, lambda line: None)
    )
    kept, written = tmp_path / "results.json", tmp_path / "page.md"
    words = ["--short", "--results", str(kept), "--page", str(written)]
    run.main([*words, "--only", "texts"])
    before = load(kept)
    before["texts"].tables["long"] = a_table("as it was")
    save(kept, before)
    run.main([*words, "--only", "texts.short,texts.fifty"])
    assert {name: table.title for name, table in load(kept)["texts"].tables.items()} == {
        "short": "short anew", "long": "as it was", "fifty": "fifty anew",
    }  # fmt: skip
    before["texts"].machine["date"] = "2001-01-01"
    save(kept, before)
    with pytest.raises(SystemExit, match="another day"):
        run.main([*words, "--only", "texts.short"])
    with pytest.raises(SystemExit):
        run.main([*words, "--only", "texts.none"])
    assert load(kept) == before


def a_table(title: str) -> Table:
    return Table(title, "", {"ours": Timing("ours", 1, (1.0,))})


def of_each_command(seconds: float, megabytes: float) -> dict[str, scale.Figures]:
    figures = {
        "seconds": 99.0,
        "processor seconds": seconds,
        "microseconds a sample": 1.0,
        "megabytes": megabytes,
    }
    return {scale.READING: figures, scale.ADDING: {**figures, "processor seconds": 4 * seconds}}


def test_scale_is_judged_by_ten_million_samples() -> None:
    assert doctest.testmod(scale).failed == 0
    few = {"100000": of_each_command(1.0, 100.0), "1000000": of_each_command(2.8, 200.0)}
    assert scale.report(few)["more microseconds for each further sample"] == {
        "100,000 to 1,000,000": {scale.READING: 2.0, scale.ADDING: 8.0}
    }
    many = {**few, "10000000": of_each_command(20.0, 2000.0)}
    for measured, found in ((few, {}), (many, {"texts": 60.0})):
        section = Section({}, "long form", report=scale.report(measured))
        said = {promise.said: promise for promise in promises({"scale": section})}
        adding = said["the same: seconds of processor time beside reading the data"]
        assert adding.measured == found
        assert adding.holds
    assert "8.0 s of processor time" not in page.render({"scale": section})
    assert "80.0 s of processor time, 1.00 µs a sample, 2,000 MB" in page.render({"scale": section})


@pytest.mark.slow
def test_every_command_is_measured_at_any_scale(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    words = [sys.executable, scale.__file__, "--sizes", "300", "--keep", str(kept)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["largest"]["samples"] == 300
    measured = json.loads(kept.read_text())["300"]
    assert len(measured) == 12
    assert all(figures["processor seconds"] > 0 and figures["megabytes"] > 0 for figures in measured.values())
    again = subprocess.run(words, capture_output=True, text=True, check=True)  # what is kept is not measured
    assert (again.stdout, again.stderr) == (done.stdout, "")


@pytest.mark.slow
def test_the_part_for_a_gpu_runs_on_any_device(bench: Bench) -> None:
    bert = (
        ("hidden_size", 32),
        ("num_hidden_layers", 1),
        ("num_attention_heads", 2),
        ("intermediate_size", 64),
    )
    setting = gpu.Setting(device="cpu", precision="fp32", vit="test_vit", bert=bert, batches=(4, 8))
    shown = gpu.measure(bench, setting)
    assert shown["texts"].rows["ours"].n == TINY.n_gpu
    assert {"ours", "ours-jpeg", "decode", "eager", "compiled"} == set(shown["images"].rows)
