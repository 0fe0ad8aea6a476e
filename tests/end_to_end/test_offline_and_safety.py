"""Offline opens no socket; nothing is pickled, and nothing planted is run."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ..processes import COMMAND, Process
from .conftest import TEXTS, Result

Runner = Callable[..., Result]

REFUSE_SOCKETS = """
import ctypes, struct, sys
# A seccomp filter: socket() and socketpair() of AF_INET or AF_INET6 kill the process, from any language.
AUDIT = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
import platform
arch, socket_call = AUDIT[platform.machine()]
def op(code, k, jt=0, jf=0): return struct.pack("HBBI", code, jt, jf, k)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = b"".join([
    op(LOAD, 4), op(EQUAL, arch, 0, 5), op(LOAD, 0), op(EQUAL, socket_call, 0, 3),
    op(LOAD, 16), op(EQUAL, 2, 2, 0), op(EQUAL, 10, 1, 0),
    op(RETURN, 0x7FFF0000), op(RETURN, 0x80000000),
])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, program)), 0, 0) == 0, ctypes.get_errno()
"""
needs_seccomp = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def under_refusal(code: str, *arguments: object) -> tuple[int, str]:
    """The exit code, and what was written to stderr, of code that no socket is given to."""
    refused = Process("import os\nos.environ.pop('HF_HUB_OFFLINE')\n" + REFUSE_SOCKETS + code, *arguments)
    _, err = refused.communicate()
    return refused.wait(), err


@needs_seccomp
def test_the_refusal_itself_works() -> None:
    assert under_refusal("import socket; socket.socket()")[0] < 0
    assert under_refusal("import socket; socket.socket(socket.AF_INET6)")[0] < 0


@needs_seccomp
@pytest.mark.parametrize("backbone", ["bundled:all-minilm-l6-v2", "bundled:efficientnet-lite0"])
def test_offline_opens_no_socket(photos: Path, table: Path, backbone: str) -> None:
    data = photos if "efficientnet" in backbone else table
    code, err = under_refusal(COMMAND, "extract", data, "--backbone", backbone, "--set", "s", "--offline")
    assert code == 0, err


@needs_seccomp
@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["bundled:all-minilm-l6-v2", "bundled:efficientnet-lite0"])
def test_reading_the_libraries_opens_no_socket_either(photos: Path, table: Path, backbone: str) -> None:
    """In an interpreter of its own: nothing was imported before sockets were refused."""
    data = photos if "efficientnet" in backbone else table
    words = ["headstart", "extract", str(data), "--backbone", backbone, "--set", "s", "--offline"]
    done = subprocess.run(
        [sys.executable, "-c", f"{REFUSE_SOCKETS}\nsys.argv = {words}\n{COMMAND}"],
        capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@needs_seccomp
@pytest.mark.parametrize("backbone", ["hf:nobody/no-such-model", "timm:resnet18.a1_in1k"])
def test_weights_that_cannot_be_had_offline(photos: Path, table: Path, backbone: str) -> None:
    data = photos if "timm" in backbone else table
    code, err = under_refusal(COMMAND, "extract", data, "--backbone", backbone, "--offline")
    assert code == 1, err
    assert "--offline was given" in err
    assert "Traceback" not in err


def test_nothing_that_is_written_is_a_pickle(headstart: Runner, table: Path, tmp_path: Path) -> None:
    for shard_format in ("hdf5", "parquet"):
        where = ("--cache", shard_format, "--format", shard_format)
        headstart("extract", table, "--backbone", TEXTS, "--set", "t", *where)
        for head in ("logistic", "ridge", "linear"):
            headstart(
                "fit-head", "t", "--cache", shard_format, "--head", head, "--out", f"{shard_format}-{head}"
            )
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert len(files) > 60
    for path in files:
        for content in _contents(path):
            assert not _is_pickle(content), path


def _contents(path: Path) -> list[bytes]:
    content = path.read_bytes()
    if not zipfile.is_zipfile(path):
        return [content]
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def _is_pickle(content: bytes) -> bool:
    """Whether the bytes are a whole pickle from their beginning."""
    try:
        opcodes = list(pickletools.genops(content))
    except Exception:
        return False
    return bool(opcodes) and opcodes[-1][0].name == "STOP" and len(opcodes) > 1


class Bomb:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, ("exploded", "w"))


def bomb() -> bytes:
    return pickle.dumps(Bomb())


def torch_bomb() -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"weight": Bomb()}, buffer)
    return buffer.getvalue()


def test_a_planted_head_is_refused(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    headstart("fit-head", "t", "--head", "ridge", "--out", "run")
    for planted in (bomb(), torch_bomb()):
        Path("run/model/head.safetensors").write_bytes(planted)
        refused = headstart("predict", "run", table)
        assert refused.code == 1
        assert "head.safetensors" in refused.err
    assert not Path("exploded").exists()


def test_planted_weights_are_refused(headstart: Runner, photos: Path) -> None:
    for planted in (bomb(), torch_bomb()):
        Path("weights.pth").write_bytes(planted)
        refused = headstart("extract", photos, "--backbone", "timm:resnet18", "--weights", "weights.pth")
        assert refused.code == 1
        assert "weights.pth" in refused.err
    assert not Path("exploded").exists()


@pytest.mark.parametrize("shard_format", ["hdf5", "parquet"])
def test_a_planted_shard_is_refused(headstart: Runner, table: Path, shard_format: str) -> None:
    extract = (
        "extract",
        table,
        "--backbone",
        TEXTS,
        "--set",
        "t",
        "--cache",
        "cache",
        "--format",
        shard_format,
    )
    headstart(*extract)
    shard = next(Path("cache").glob("spaces/*/shards/*"))
    shard.write_bytes(bomb())
    for arguments in (
        extract,
        ("fit-head", "t", "--cache", "cache"),
        ("cache", "verify", "--cache", "cache"),
    ):
        refused = headstart(*arguments)
        assert refused.code == 1
        assert shard.name in refused.out + refused.err
    assert not Path("exploded").exists()
