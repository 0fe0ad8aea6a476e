"""Tars that are cut, damaged, hostile, compressed, or that change under our hands."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data import open_source
from headstart.data.tar_headers import TarHeaders
from headstart.errors import ConfigError, DataError, SampleError
from tests.data.conftest import MemoryMemo, Scan, scan
from tests.data.tars import add, write_tar

from ..variants import examples, variants

pytest.importorskip("webdataset")


def reasons(found: Scan) -> dict[str, str]:
    return {failure.id: failure.reason for failure in found.failures}


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "good.jpg", b"good")
        add(tar, "empty.jpg", b"")
        add(tar, "lonely.json", b"{}")
        add(tar, "broken.jpg", b"x")
        add(tar, "broken.json", b"[1]")
        add(tar, "../climb.jpg", b"x")
        add(tar, "/etc/root.jpg", b"x")
        add(tar, "link.jpg", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard.jpg", b"", type=tarfile.LNKTYPE, linkname="good.jpg")
        add(tar, "tty.jpg", b"", type=tarfile.CHRTYPE)
        add(tar, "twice.jpg", b"x")
        add(tar, "twice.jpg", b"y")
        add(tar, "caf\udce9.jpg", b"x")
        add(tar, "good.cls", b"1")
        add(tar, "README", b"hello")
        add(tar, "folder", b"", type=tarfile.DIRTYPE)
    found = scan(path)
    assert found.ids == ["a/good"]
    assert found.payloads() == [b"good"]
    told = reasons(found)
    assert told == {
        "a/empty": "empty file",
        "a/lonely": "it has no image, only .json",
        "a/broken": "its .json is no JSON object",
        "a/../climb": "../climb.jpg: its name leads out of the archive",
        "a//etc/root": "/etc/root.jpg: its name leads out of the archive",
        "a/link": "link.jpg: it is a link to '/etc/passwd', which is not followed; store the file itself",
        "a/hard": "hard.jpg: it is a link to 'good.jpg', which is not followed; store the file itself",
        "a/tty": "tty.jpg: it is a device, not a file",
        "a/twice": "it has two members that end with .jpg",
        "a/caf\\xe9": "caf\\xe9.jpg: its name is not UTF-8; rename it",
        "a/good": told["a/good"],
    }
    assert "must follow each other" in told["a/good"]
    assert {failure.kind for failure in found.failures} == {"permanent"}
    assert "1 other member ignored (README)" in found.source.description


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "hole.jpg", "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"x")
    (tmp_path / "a.jpg").write_bytes(b"good")
    command = ["tar", "--sparse", "-C", tmp_path, "-cf", tmp_path / "s.tar", "a.jpg", "hole.jpg"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this tar knows no sparse files")
    found = scan(tmp_path / "s.tar")
    assert found.ids == ["s/a"]
    assert "sparse" in reasons(found)["s/hole"]


@pytest.mark.parametrize(
    "options", variants([{"format": tarfile.GNU_FORMAT}, {"format": tarfile.PAX_FORMAT}, {}], [{}])
)
def test_a_tar_that_is_cut_gives_what_is_whole(tmp_path: Path, options: dict[str, Any]) -> None:
    members = {}
    for number in range(8):
        members |= {
            f"{'long' * 40}{number}.cls": str(number),
            f"{'long' * 40}{number}.jpg": bytes([number + 1]) * 900,
        }
    whole = write_tar(tmp_path / "whole.tar", members, **options).read_bytes()
    expected = scan(tmp_path / "whole.tar").payloads()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        second = tar.getmembers()[2]
    n_before = 0
    for size in range(second.offset, len(whole.rstrip(b"\0")), 256):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        found = scan(tmp_path / "cut.tar")
        n = len(found.ids)
        assert found.payloads() == expected[:n]
        assert found.column("label:cls") == [str(number) for number in range(n)]
        assert f"cut short after {n} samples" in reasons(found)["cut.tar"].replace(
            ": its end mark is missing", ""
        )
        assert n >= n_before
        n_before = n
    assert n_before >= 6


def test_damage_is_named_and_what_came_before_is_used(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{number}.jpg": b"x" * 10 for number in range(4)})
    content = bytearray(path.read_bytes())
    content[2 * 1024 + 5] ^= 255
    path.write_bytes(content)
    found = scan(path)
    assert found.ids == ["a/0", "a/1"]
    assert "damaged at byte 2,048" in reasons(found)["a.tar"]
    path.write_bytes(b"\xff\xd8" * 600)
    with pytest.raises(DataError, match="no tar"):
        open_source(path)


def test_joined_tars_are_not_cut_in_silence(tmp_path: Path) -> None:
    first = write_tar(tmp_path / "1.tar", {"a.jpg": b"x"}).read_bytes()
    second = write_tar(tmp_path / "2.tar", {"b.jpg": b"y"}).read_bytes()
    (tmp_path / "both.tar").write_bytes(first + second)
    found = scan(tmp_path / "both.tar")
    assert found.ids == ["both/a"]
    assert "more follows its end mark" in reasons(found)["both.tar"]


def test_one_bad_tar_does_not_stop_the_others(tmp_path: Path) -> None:
    write_tar(tmp_path / "data" / "1.tar", {"a.jpg": b"x"})
    (tmp_path / "data" / "0.tar").write_bytes(b"")
    (tmp_path / "data" / "2.tar").write_bytes(b"\x1f\x8b\x08 gzip")
    found = scan(tmp_path / "data")
    assert found.ids == ["1/a"]
    assert "empty" in reasons(found)["0.tar"]
    assert "gunzip" in reasons(found)["2.tar"]


@pytest.mark.parametrize("ending", [".tar.gz", ".tgz", ".tar.bz2", ".tar.zst"])
def test_compressed_tars_are_refused_with_the_remedy(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending}").write_bytes(b"x")
    for data in (tmp_path / f"a{ending}", tmp_path):
        with pytest.raises(DataError, match=r"is compressed, .* unpack it once with (gunzip|bunzip2|unzstd)"):
            open_source(data)


def test_tars_beside_other_data_must_be_chosen_from(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"a.jpg": b"x"})
    (tmp_path / "0.parquet").write_bytes(b"what img2dataset writes beside a tar")
    assert scan(tmp_path).ids == ["0/a"]
    (tmp_path / "train.csv").write_text("text\nhello\n")
    with pytest.raises(ConfigError, match=r"both tars and other data \(train.csv\)"):
        open_source(tmp_path)


def test_a_tar_that_changes_or_vanishes_fails_its_samples(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x"})
    found = scan(path)
    write_tar(path, {"b.jpg": b"y"})
    with pytest.raises(SampleError, match=r"a.tar: the tar changed after it was scanned"):
        found.source.payload(0)
    path.unlink()
    with pytest.raises(SampleError, match=r"a.tar: the file is missing"):
        found.source.payload(0)
    again = list(found.source.scan(MemoryMemo()))
    assert [(f.id, f.kind) for block in again for f in block.failures] == [("a.tar", "transient")]


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=180)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=1500), st.floats(0, 2e9)), max_size=6), kind=FORMATS
)
@settings(max_examples=examples(150), deadline=None)
def test_headers_say_what_tarfile_says(members: list[tuple[str, bytes, float]], kind: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for name, content, mtime in members:
            try:
                add(tar, name, content, mtime=mtime if kind == tarfile.PAX_FORMAT else int(mtime))
            except ValueError:
                continue  # ustar has no room for the name
    size = buffer.tell()
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as tar:
        expected = [(info.name, info.offset_data, info.size) for info in tar if info.isreg()]
    headers = TarHeaders(io.BytesIO(buffer.getvalue()), size)
    assert [(member.name, member.offset, member.size) for member in headers] == expected
    assert headers.trouble is None


@given(st.binary(max_size=2048), st.integers(0, 5000))
@settings(max_examples=examples(200), deadline=None)
def test_no_damage_makes_a_traceback(damage: bytes, at: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "a.jpg", b"x")
        add(tar, "n" * 150, b"y" * 600)
        add(tar, "link", b"", type=tarfile.SYMTYPE, linkname="m" * 150)
    content = bytearray(buffer.getvalue())
    content[at : at + len(damage)] = damage
    list(TarHeaders(io.BytesIO(bytes(content)), len(content)))
