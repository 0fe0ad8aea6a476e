"""What every test gets: a cache and a machine of its own, and no hub."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings

from headstart import trust

from .processes import LIBRARIES, serve
from .variants import examples

settings.register_profile("headstart", max_examples=examples(100), deadline=None)
settings.load_profile("headstart")
gc.disable()  # until all is collected: a quarter of that time were looks at objects that stay
gc.set_threshold(1_000_000, 1000, 1000)  # some library enables it again

LONG = ("end_to_end", "exporting", "backbones", "tuning", "heads", "extraction", "fitting", "cache", "plots")
"""Folders whose tests take longest, the longest first."""
LONGEST = "test_kernels.py"  # of the slow ones, before all others
SHARED = (
    *LIBRARIES,
    "optuna",
    "pandas",
    "peft",
    "scipy.stats",
    "sentence_transformers",
    "transformers.trainer",
)
"""Libraries that most files of tests import."""
MEMORY, ROOM = Path("/dev/shm"), 8 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Start what forks share; temporary files lie in memory where there is room, so that no test waits for a disk."""
    if config.getoption("--forks", default=0):
        serve()
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests come first, so that the workers end together."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("property")
    items.sort(
        key=lambda item: LONG.index(folder) if (folder := item.path.parent.name) in LONG else len(LONG)
    )
    items.sort(key=lambda item: item.path.name != LONGEST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What forks share is imported before them.

    A million objects of libraries and tests stay to the end, and need not be looked at again and again.
    """
    if session.config.getoption("--forks", default=0):
        for name in SHARED:
            import_module(name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def pytest_sessionfinish() -> None:
    """What is frozen at the end counts as leaked by some libraries, which say so."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is made once for several tests is isolated as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("machine")))
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache") / "default"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(autouse=True)
def isolated_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caches or the memos of whoever runs it, nor those of another test."""
    machine = mkdtemp(prefix="machine-", dir=tmp_path_factory.getbasetemp())  # mktemp lists all there are
    monkeypatch.setenv("XDG_CACHE_HOME", machine)
    monkeypatch.setenv("HEADSTART_CACHE", str(Path(machine, "default cache")))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HEADSTART_OFFLINE", "0")  # what --offline of one test forbids, another may do


@pytest.fixture(autouse=True)
def isolated_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose code one test trusted, or met in a file, is forgotten before the next."""
    monkeypatch.setattr(trust, "_trusted", set(trust._trusted))
    monkeypatch.setattr(trust, "_strange", dict(trust._strange))


@pytest.fixture
def cache_root(tmp_path: Path) -> Path:
    """A folder for a cache, which does not exist yet."""
    return tmp_path / "a cache"


@pytest.fixture
def tiny_bert(tmp_path: Path, made_bert: Path) -> Path:
    """A BERT of two layers with dropout, its pooler and its tokenizer, in a folder of the test's own."""
    return shutil.copytree(made_bert, tmp_path / "tiny-bert")


@pytest.fixture(scope="session")
def made_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{letter}" for letter in letters),
    ]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    return folder
