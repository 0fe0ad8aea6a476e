"""A converted model gives what torch gives, and runs without it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.devices import Processor, processor, usable_cores
from headstart.errors import ConfigError, StorageError
from headstart.extraction.inference import lay_out
from headstart.extraction.model import lacks_int8
from headstart.extraction.runtime import TorchRuntime
from headstart.runtimes.compiled import Solo, open_compiled, outputs_of
from headstart.runtimes.conversion import NotConvertibleError, convert
from headstart.runtimes.converted import TORCH_STARTS_IN, is_faster, is_sooner, proves
from headstart.runtimes.kept import KeptModel, KeptModels, Speed
from headstart.runtimes.library import openvino
from headstart.runtimes.outputs import TOLERANCE, largest_error, offered

from ..extraction.computing import one_thread
from ..extraction.models import Opened, open_named

TEXTS = [f"how do I pay {n} bills " + "please " * (n % 7) for n in range(40)]
FAMILIES = [
    *(f"text:{name}" for name in ("roberta", "distilbert", "electra", "mpnet", "deberta-v2", "modernbert", "albert")),
    *(f"text:{name}" for name in ("t5", "bart", "gpt2", "llama", "gemma2")),
    *(f"image:{name}" for name in ("vit", "deit", "beit", "dinov2", "swin", "convnext", "resnet")),
    "clip:text", "clip:image", "clip:image-text", "siglip:text", "blip:text",
    "timm:resnet18", "timm:vit_small_patch16_224", "timm:test_efficientnet", "torchvision:alexnet",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return open_named("text:bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def root(bert: Opened, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model was converted once for all tests, which leave it as it is."""
    folder = tmp_path_factory.mktemp("converted") / "models"
    with one_thread():
        made = convert(bert.model, bert.info, [], KeptModels(folder))
    # Of a tiny model on a busy machine the trial may show anything, and one that is slower than torch is not used.
    made.remember_speed(processor().id, Speed(2.0, 1e-3))
    return folder


@pytest.fixture
def kept(bert: Opened, root: Path) -> KeptModel:
    """A copy of it in this machine's directory."""
    shutil.copytree(root, KeptModels().root)
    found = KeptModels().find(bert.info)
    assert found is not None
    return found


def errors(opened: Opened, model: KeptModel, taps: list[str]) -> dict[str, float]:
    """The largest error of each tap over batches of one, of a few and of all samples."""
    prepared = opened.model.prepare(opened.samples)
    by_torch = TorchRuntime(opened.model, taps, lay_out("cpu", cores=1))
    compiled = open_compiled(model, taps, Solo())
    worst = dict.fromkeys(taps, 0.0)
    for part in (prepared[:1], prepared[1:4], prepared):
        batch = opened.model.collate(part)
        found = compiled.run({name: tensor.numpy() for name, tensor in batch.items()})
        for tap, (values, lengths), (expected, owned) in zip(taps, found, by_torch.run(batch), strict=True):
            assert (lengths is None and owned is None) or np.array_equal(lengths, owned)  # type: ignore[arg-type]
            worst[tap] = max(worst[tap], largest_error(values, expected))
    return worst


def test_every_tap_of_a_text_model_is_that_of_torch(bert: Opened, kept: KeptModel) -> None:
    taps = [*bert.taps, "1.cls+max.l2", "2.gem", "final.weighted", "final.tokens", "1.tokens.l2"]
    assert max(errors(bert, kept, taps).values()) <= TOLERANCE
    assert set(kept.manifest["errors"]) == set(offered(bert.info))


def test_only_what_the_taps_need_is_computed(bert: Opened, kept: KeptModel) -> None:
    """A model of one layer takes a part of the room of one that runs to its end."""
    for taps in (["1.mean"], ["final.mean"]):
        open_compiled(kept, taps, Solo())
    sizes = sorted(path.stat().st_size for path in (kept.path / "compiled").iterdir())
    assert len(sizes) == 2
    assert sizes[0] < 0.75 * sizes[1]


def extract(texts: list[str], bert: Opened, cache: Path, **options: Any) -> hs.FeatureSet:
    return hs.extract(texts, bert.spec, set="t", cache=str(cache), quiet=True, **options)


def test_a_set_half_extracted_with_each_is_one_set(bert: Opened, kept: KeptModel, tmp_path: Path) -> None:
    extract(TEXTS[:20], bert, tmp_path / "both", runtime="torch")
    mixed = extract(TEXTS, bert, tmp_path / "both", runtime="openvino")
    alone = extract(TEXTS, bert, tmp_path / "torch", runtime="torch")
    assert [part.space for part in mixed.features] == [part.space for part in alone.features]
    assert largest_error(mixed.arrays()[0], alone.arrays()[0]) <= TOLERANCE


def test_changed_copies_of_texts_are_those_of_torch(bert: Opened, kept: KeptModel, tmp_path: Path) -> None:
    found, expected = (
        extract(TEXTS, bert, tmp_path / name, runtime=name, views=1) for name in ("openvino", "torch")
    )
    assert [part.view for part in found.features] == [part.view for part in expected.features]
    for view in (part.view for part in expected.features):
        own, other = (each.arrays("train", view=view)[0] for each in (found, expected))
        assert largest_error(own, other) <= TOLERANCE


def test_nothing_of_torch_is_imported_where_the_model_is_converted(
    bert: Opened, kept: KeptModel, tmp_path: Path
) -> None:
    extract(TEXTS[:2], bert, tmp_path, runtime="torch")  # this machine knows the backbone from now on
    code = f"""
import sys, headstart as hs
features = hs.extract({TEXTS!r}, {bert.spec!r}, set="t", cache={str(tmp_path)!r}, quiet=True)
print(len(features), {{"torch", "torchvision", "transformers", "timm"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "40 set()"


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "tokenizer.json"])
def test_a_damaged_model_is_dropped_and_torch_goes_on(
    name: str, bert: Opened, kept: KeptModel, tmp_path: Path
) -> None:
    path = kept.path / name
    if not path.exists():  # named otherwise among what prepares the texts
        path = kept.path / kept.manifest["plain"]["files"][0]
    path.write_bytes(path.read_bytes()[:-3] + b"???")
    found = extract(TEXTS, bert, tmp_path / "a")
    assert not kept.path.exists()
    expected = extract(TEXTS, bert, tmp_path / "b", runtime="torch")
    assert largest_error(found.arrays()[0], expected.arrays()[0]) <= TOLERANCE


def test_the_slower_one_here_is_left_aside(bert: Opened, kept: KeptModel) -> None:

    assert proves(kept, [bert.info.default_tap])
    for gain, faster in ((2.0, True), (0.9, False)):
        kept.remember_speed(processor().id, Speed(gain, 0.01))
        assert is_faster(kept) is faster


def found_anew(kept: KeptModel, monkeypatch: pytest.MonkeyPatch, **said: Any) -> None:
    """Let it be found with another manifest."""
    changed = KeptModel(kept.path, {**kept.manifest, **said})
    monkeypatch.setattr(KeptModels, "find", lambda *_: changed)


@pytest.mark.parametrize(("runtime", "runs_with"), [("auto", "eager"), ("openvino", "openvino")])
@pytest.mark.parametrize("plain", [True, False])
def test_the_slower_one_is_used_where_it_is_asked_for(
    plain: bool, runtime: str, runs_with: str, bert: Opened, kept: KeptModel, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    kept.remember_speed(processor().id, Speed(gain=0.5, seconds=100.0))
    if not plain:  # torch prepares the samples
        found_anew(kept, monkeypatch, plain=None)
    found = extract(TEXTS, bert, tmp_path, runtime=runtime)
    [measured] = {entry["timings"]["forward_as"] for entry in found.info["measured"].values()}
    assert measured == runs_with


def test_openvino_insists_on_taps_that_it_gives_as_torch_does(
    bert: Opened, kept: KeptModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_anew(kept, monkeypatch, errors={"pooler": 0.0})
    with pytest.raises(ConfigError, match=r"--runtime openvino cannot be used: it gives other features for"):
        extract(TEXTS, bert, tmp_path, runtime="openvino")


def test_torch_is_started_only_where_it_saves_what_its_start_costs(kept: KeptModel) -> None:
    kept.remember_speed(processor().id, Speed(gain=0.5, seconds=0.01 * usable_cores()))
    n = int(TORCH_STARTS_IN / 0.5 / 0.01)
    assert [is_sooner(kept, size) for size in (1, n - 1, n + 1)] == [True, True, False]
    kept.remember_speed(processor().id, Speed(gain=1.0, seconds=0.01))
    assert is_sooner(kept, 10**9)


def test_what_was_not_proven_is_left_to_torch(kept: KeptModel) -> None:
    unproven = KeptModel(kept.path, {**kept.manifest, "errors": {"pooler": 0.0}})
    assert unproven.proves(outputs_of(["pooler"], unproven.manifest["errors"]))
    assert not proves(unproven, ["final.mean"])


def test_a_conversion_that_gives_other_features_is_refused(
    bert: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.runtimes import conversion

    def close(model: Any, converted: Any, names: Any, batches: Any) -> dict[str, float]:
        return {"pooler": 0.0}  # the default tap is not among those within the bound

    monkeypatch.setattr(conversion, "_converted", lambda *_: None)
    monkeypatch.setattr(conversion, "_prove", close)
    with pytest.raises(NotConvertibleError, match="gives other features when OpenVINO runs it"):
        convert(bert.model, bert.info, [], KeptModels(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"precision": "bf16"}, "it computes in fp32"),
        ({"backbone": "py:tiny_backbones:texts"}, "code of your own"),
    ],
)
def test_openvino_is_refused_with_the_reason_where_it_cannot_be_used(
    options: dict[str, str], reason: str, bert: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
    given = {"backbone": bert.spec, **options}
    with pytest.raises(ConfigError, match=rf"--runtime openvino cannot be used: .*{reason}"):
        hs.extract(TEXTS, set="t", cache=str(tmp_path), quiet=True, runtime="openvino", **given)  # type: ignore[arg-type]


def test_where_openvino_is_not_installed_torch_runs_everything(
    bert: Opened, kept: KeptModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.extraction.model.openvino_version", lambda: None)
    assert extract(TEXTS[:3], bert, tmp_path).arrays()[0].shape == (3, 32)
    with pytest.raises(ConfigError, match=r"it is not installed \(pip install openvino\)"):
        extract(TEXTS, bert, tmp_path, runtime="openvino")


def test_openvino_is_not_shared_out_among_processes(bert: Opened, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out --workers"):
        extract(TEXTS, bert, tmp_path, runtime="openvino", workers=2)


def test_a_full_disk_is_said_and_leaves_nothing(
    bert: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(model: Any, path: str, **options: Any) -> None:
        Path(path).write_text("<net", "utf-8")
        raise RuntimeError("basic_ios::clear: iostream error")  # what OpenVINO raises there

    monkeypatch.setattr(openvino(), "save_model", save)
    with pytest.raises(
        StorageError, match=r"cannot be written below .*models \(basic_ios.*free some space there"
    ):
        convert(bert.model, bert.info, [], KeptModels(tmp_path / "models"))
    assert list((tmp_path / "models").iterdir()) == []


SOCKETS = """
import sys
events = []
sys.addaudithook(lambda name, args: events.append(name) if name.startswith("socket.") else None)
from headstart.runtimes.library import converter, openvino
openvino().Core().available_devices
converter()
assert "openvino_telemetry" not in sys.modules
print(events)
"""


def test_neither_import_nor_converter_opens_a_socket() -> None:
    done = subprocess.run([sys.executable, "-c", SOCKETS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_models_of_other_families_give_what_torch_gives(name: str, tmp_path: Path) -> None:
    opened = open_named(name, tmp_path / "model")
    model = convert(opened.model, opened.info, [], KeptModels(tmp_path / "kept"))
    assert max(errors(opened, model, opened.taps).values()) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text:deberta", "text:xlm", "siglip2:image"])
def test_what_openvino_has_no_rule_for_is_refused_by_name(name: str, tmp_path: Path) -> None:
    opened = open_named(name, tmp_path / "model")
    with pytest.raises(NotConvertibleError, match="it cannot be converted"):
        convert(opened.model, opened.info, [], KeptModels(tmp_path / "kept"))


@pytest.mark.parametrize(
    ("flags", "lacks"),
    [({"avx2"}, True), ({"avx2", "avx_vnni"}, False), ({"asimddp"}, False), (set(), False)],
)
def test_a_processor_without_int8_is_known_by_its_flags(flags: set[str], lacks: bool) -> None:
    assert lacks_int8(Processor("x", frozenset(flags))) == lacks


FIRST_TENSORS = """
import os, sys, threading
import numpy as np
from headstart.runtimes.library import openvino

library = openvino()
sys.setswitchinterval(1e-6)
gate = threading.Barrier(4)


def use():
    gate.wait()
    library.Type.f32.to_dtype()
    _ = library.Tensor(np.zeros(1, np.float32), shared_memory=True).data


threads = [threading.Thread(target=use, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os._exit(0)
"""


def test_threads_that_use_openvino_first_do_not_wait_for_each_other_for_ever() -> None:
    # Without the tables made at its import they did, each time.
    subprocess.run([sys.executable, "-c", FIRST_TENSORS], check=True, timeout=60)
