"""Data in a bucket or on a web server is read as it is from a disk, and read once."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data import open_source
from headstart.errors import ConfigError, DataError, MissingDependencyError, SampleError
from headstart.network import forbid_network
from headstart.remote import ranged
from headstart.remote.spool import spool
from headstart.remote.store import open_store
from tests.backbones.tiny_vision import vit
from tests.data.conftest import MemoryMemo, Scan, scan, write_image, write_images

from .proxy import Proxy, proxy
from .servers import SECRET
from .web import Site, web


@pytest.fixture
def requests(s3: dict[str, str], bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What is asked of the server."""
    with proxy(s3["AWS_ENDPOINT_URL"]) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
        yield found


@pytest.fixture
def put(bucket: str, tmp_path: Path) -> Callable[..., str]:
    """Put a folder into the bucket under a name; its address."""

    def upload(folder: Path, name: str = "data") -> str:
        store = open_store(bucket)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                store.write(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{bucket}/{name}"

    return upload


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with web(tmp_path / "site") as found:
        yield found


def same(found: Scan, local: Scan) -> None:
    assert found.source.description == local.source.description
    assert found.table.equals(local.table)
    assert [(each.id, each.reason) for each in found.failures] == [
        (each.id, each.reason) for each in local.failures
    ]
    assert found.payloads() == local.payloads()
    assert pickle.loads(pickle.dumps(found.source)).payload(0) == local.source.payload(0)  # noqa: S301


def write_tar(path: Path, n: int, suffix: str = "png") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number in range(n):
            picture = write_image(path.parent / "picture.png", number).read_bytes()
            for ending, content in ((suffix, picture), ("cls", str(number % 2).encode())):
                info = tarfile.TarInfo(f"{number:03}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    (path.parent / "picture.png").unlink()
    return path


FOLDERS: dict[str, Callable[[Path], object]] = {
    "classes in splits": lambda root: write_images(
        root, "train/cat/a.png", "train/dog/b.png", "test/cat/ü c#1.png", "test/dog/50%.png", "test/.x.png"
    ),
    "a flat folder": lambda root: write_images(root, "a.png", "a-b.png", "b.jpg"),
    "one folder above all": lambda root: write_images(root, "all/cat/a.png", "all/cat/deep/b.png", "all/dog/c.png"),
    "texts": lambda root: [
        _write(root / f"{split}/{label}/{n}.txt", f"{label} {n}".encode())
        for split in ("train", "test")
        for label in ("pos", "neg")
        for n in range(3)
    ],
    "tables by split": lambda root: [
        _write(root / f"{split}.csv", b"text,label\nhello,a\nworld,b\n") for split in ("train", "test")
    ],
    "metadata": lambda root: [
        write_images(root, "pictures/a.png", "pictures/b.png", "pictures/c.png"),
        _write(root / "metadata.csv", b"file_name,label\npictures/a.png,x\npictures/b.png,y\npictures/d.png,y\n"),
    ],
    "tars": lambda root: [write_tar(root / f"train-{n}.tar", 5) for n in range(2)],
}  # fmt: skip


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_in_a_bucket_is_read_as_on_a_disk(
    name: str, tmp_path: Path, put: Callable[..., str], requests: Proxy
) -> None:
    FOLDERS[name](tmp_path)
    address = put(tmp_path)
    memo, local = MemoryMemo(), scan(tmp_path)
    same(scan(address, memo), local)
    requests.seen.clear()
    again = scan(address, memo)
    assert set(requests.kinds()) == {"list"}
    assert again.table.equals(local.table)


def _parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["hello", "world"], "label": ["a", "b"]}), sink)
    return bytes(sink.getvalue())


TABLES = {
    "a.csv": b"text,label\nhello,a\nworld,b\n",
    "a.jsonl": b'{"text": "hello", "label": "a"}\n{"text": "world", "label": "b"}\n',
    "a.txt": b"hello\nworld\n",
    "a.csv.gz": gzip.compress(b"text,label\nhello,a\nworld,b\n"),
    "a.parquet.gz": gzip.compress(_parquet()),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_looked_at_and_fetched_once(
    name: str, tmp_path: Path, put: Callable[..., str], requests: Proxy
) -> None:
    _write(tmp_path / name, TABLES[name])
    address = f"{put(tmp_path)}/{name}"
    requests.seen.clear()
    same(scan(address), scan(tmp_path / name))
    assert requests.kinds()[:2] == ["look", "read"]
    requests.seen.clear()
    scan(address)
    assert requests.kinds() == ["look"]


def test_images_that_a_table_names_are_looked_at_beside_it_and_anywhere(
    tmp_path: Path, put: Callable[..., str], requests: Proxy, site: Site
) -> None:
    write_images(tmp_path / "data", "pictures/a.png", "pictures/b.png")
    write_image(site.root / "c d.png", 7)
    address = put(tmp_path / "data")
    there = f"{site.address}/c%20d.png"
    rows = f"image,label\npictures/a.png,x\n{address}/pictures/b.png,y\n{there},y\npictures/gone.png,y\n"
    _write(tmp_path / "data/table.csv", rows.encode())
    put(tmp_path / "data")
    memo = MemoryMemo()
    found = scan(f"{address}/table.csv", memo)
    pictures = [tmp_path / "data/pictures/a.png", tmp_path / "data/pictures/b.png", site.root / "c d.png"]
    assert found.payloads() == [path.read_bytes() for path in pictures]
    assert [failure.reason for failure in found.failures] == ["pictures/gone.png: the file is missing"]
    assert [failure.kind for failure in found.failures] == ["transient"]
    local = scan(
        _write(tmp_path / "local.csv", rows.replace("\npictures/", f"\n{address}/pictures/").encode())
    )
    assert local.keys == found.keys
    requests.seen.clear()
    site.seen.clear()
    assert scan(f"{address}/table.csv", memo).keys == found.keys
    assert set(requests.kinds()) == {"look"}
    assert [method for method, _ in site.seen] == ["HEAD"]


def test_parts_of_a_large_parquet_file_are_read(
    tmp_path: Path, put: Callable[..., str], requests: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranged, "BLOCK", 1 << 14)
    monkeypatch.setattr("headstart.parquet_file.RANGED", 1 << 10)
    monkeypatch.setattr("headstart.data.streams.RANGED", 1 << 10)
    pictures = [
        write_image(tmp_path / "picture.png", number).read_bytes() + bytes(9000) for number in range(40)
    ]
    (tmp_path / "picture.png").unlink()
    table = pa.table({"image": pictures, "label": [str(number % 2) for number in range(40)]})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=10, compression="none")
    address = f"{put(tmp_path)}/data.parquet"
    memo = MemoryMemo()
    same(scan(address, memo), scan(tmp_path / "data.parquet"))
    assert memo.n_unknown == 40
    spool.cache_clear()
    requests.seen.clear()
    again = scan(address, memo)
    assert again.table.equals(scan(tmp_path / "data.parquet").table)
    assert (set(requests.kinds()), memo.n_unknown) == ({"look"}, 40)
    again.source.payload(25)
    assert "read" in requests.kinds()


def test_what_a_pattern_stands_for_is_found_by_listing_or_by_name(
    tmp_path: Path, put: Callable[..., str], site: Site
) -> None:
    for number in range(3):
        write_tar(tmp_path / "tars" / f"train-{number:03}.tar", 4)
        _write(site.root / f"part {number}.csv", f"text,label\nhello {number},a\nworld {number},b\n".encode())
    address = put(tmp_path / "tars")
    local = scan(tmp_path / "tars" / "train-*.tar")
    for pattern in ("train-*.tar", "train-{000..002}.tar", "**/train-0[0-9]?.tar"):
        found = scan(f"{address}/{pattern}")
        assert (found.ids, found.keys) == (local.ids, local.keys)
    tables = scan(f"{site.address}/part%20{{0..2}}.csv")
    assert tables.ids == ["part 0:1", "part 0:2", "part 1:1", "part 1:2", "part 2:1", "part 2:2"]
    with pytest.raises(DataError, match=r"stands for 4 files, and 1 are missing .*train-003.tar"):
        scan(f"{address}/train-{{000..003}}.tar")
    with pytest.raises(DataError, match="no file matches the pattern"):
        scan(f"{address}/test-*.tar")
    with pytest.raises(DataError, match="lists no files; name them, with braces"):
        scan(f"{site.address}/part*.csv")


def test_an_object_that_changed_or_went_gives_no_other_row(
    tmp_path: Path, put: Callable[..., str], bucket: str
) -> None:
    write_images(tmp_path, "x/a.png", "x/b.png", "y/c.png")
    source = open_source(put(tmp_path))
    store = open_store(bucket)
    store.write("data/x/a.png", write_image(tmp_path / "other.png", 9).read_bytes())
    store.delete(["data/x/b.png"])
    blocks = list(source.scan(MemoryMemo()))
    failures = [failure for block in blocks for failure in block.failures]
    assert [block.table.column("id").to_pylist() for block in blocks if block.table.num_rows] == [["y/c.png"]]
    assert [(each.id, each.kind, each.reason) for each in failures] == [
        ("x/a.png", "transient", "the file cannot be read: it changed while it was being read"),
        ("x/b.png", "transient", "the file is missing"),
    ]


def test_a_tar_that_changed_after_the_scan_is_not_read(
    tmp_path: Path, put: Callable[..., str], bucket: str
) -> None:
    write_tar(tmp_path / "a.tar", 4)
    source = open_source(f"{put(tmp_path)}/a.tar")
    list(source.scan(MemoryMemo()))
    write_tar(tmp_path / "a.tar", 6)
    put(tmp_path)
    again = pickle.loads(pickle.dumps(source))  # noqa: S301  # which has nothing of it in memory
    spool.cache_clear()
    with pytest.raises(SampleError, match="changed"):
        again.payload(0)


@pytest.mark.parametrize("lacks", ["nothing", "tags", "times", "ranges", "tags and times"])
def test_a_web_server_may_lack_much(lacks: str, site: Site) -> None:
    site.tags, site.times, site.ranges = (word not in lacks for word in ("tags", "times", "ranges"))
    write_tar(site.root / "a.tar", 6)
    _write(site.root / "t.csv", TABLES["a.csv"])
    for path in site.root.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))  # what is young is not remembered
    memo = MemoryMemo()
    tar, local = scan(f"{site.address}/a.tar", memo), scan(site.root / "a.tar")
    assert (tar.table.equals(local.table), tar.payloads()) == (True, local.payloads())
    table = scan(f"{site.address}/t.csv")
    assert table.ids == ["t:1", "t:2"]
    for source in (tar.source, table.source):
        assert ("read anew each time" in source.description) == (lacks == "tags and times")
    site.seen.clear()
    scan(f"{site.address}/a.tar", memo)
    scan(f"{site.address}/t.csv")
    methods = [method for method, _ in site.seen]
    assert ("GET" in methods) == (lacks == "tags and times")


def test_a_signed_address_is_used_and_kept_nowhere(tmp_path: Path, site: Site) -> None:
    site.signature = "X-Sig=hidden&part=1"
    _write(site.root / "t.csv", TABLES["a.csv"])
    address = f"{site.address}/t.csv"
    found = scan(f"{address}?{site.signature}")
    assert found.ids == ["t:1", "t:2"]
    assert "hidden" not in f"{found.table.to_pylist()}{found.source.description}"
    assert "signed by a query, which is kept nowhere" in found.source.description
    write_image(site.root / "a.png")
    picture = scan(f"{site.address}/a.png?{site.signature}")
    assert picture.payloads() == [(site.root / "a.png").read_bytes()]
    assert picture.ids == [f"{site.address}/a.png"]
    with pytest.raises(
        DataError, match=r"access is denied; an address that is signed .* is given with it each time"
    ):
        scan(address)


def test_a_redirect_is_followed_and_a_web_page_is_no_table(tmp_path: Path, site: Site) -> None:
    _write(site.root / "t.csv", TABLES["a.csv"])
    site.moved["/old.csv"] = "/t.csv"
    assert scan(f"{site.address}/old.csv").ids == ["old:1", "old:2"]
    site.page = "<!DOCTYPE html><p>Please log in</p>"
    with pytest.raises(DataError, match="sends a web page in its place"):
        scan(f"{site.address}/login.csv")


def test_what_is_wrong_with_an_address_is_one_clear_line(
    bucket: str, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_store(bucket).write("notes/a.md", b"x")
    for address, said in {
        f"{bucket}/none": f"there is no object and no folder {bucket}/none",
        f"{bucket}/none.csv": f"there is no object and no folder {bucket}/none.csv",
        f"{bucket}/notes": "holds no images, no texts and no tables",
        "s3://no-such-bucket-here/x": "no-such-bucket-here",
        f"{site.address}/none.csv": f"there is no file {site.address}/none.csv: the server does not know it",
        "http://127.0.0.1:1/x.csv": "the server cannot be reached",
    }.items():
        with pytest.raises(DataError, match=said) as caught:
            open_source(address)
        assert "\n" not in str(caught.value)
    for address, said in {
        "s3:///x": "names no bucket",
        "s3://me:secret@bucket/x": "a name or password in an address",
        "https://me:secret@example.org/x.csv": "a name or password in an address",
    }.items():
        with pytest.raises(ConfigError, match=said) as wrong:
            open_source(address)
        assert "secret" not in str(wrong.value)


def test_offline_refuses_every_address_before_a_socket_is_opened(
    bucket: str, requests: Proxy, site: Site, tmp_path: Path
) -> None:
    table = _write(tmp_path / "t.csv", f"image,label\n{site.address}/a.png,x\n".encode())
    requests.seen.clear()
    forbid_network()
    for data in (bucket, f"{bucket}/{{0..3}}.tar", f"{bucket}/*.csv", f"{site.address}/t.csv"):
        with pytest.raises(ConfigError, match="--offline says that nothing may be fetched"):
            open_source(data)
    with pytest.raises(ConfigError, match="--offline"):
        scan(table)
    assert (requests.seen, site.seen) == ([], [])


def test_no_access_is_said_without_what_was_asked_with(bucket: str, requests: Proxy, tmp_path: Path) -> None:
    requests.refuses = 403
    for address in (bucket, f"{bucket}/a.csv", f"{bucket}/x-*.tar", f"{bucket}/x-{{0..2}}.tar"):
        with pytest.raises(DataError) as caught:
            open_source(address)
        said = str(caught.value)
        assert "access is denied; credentials come from the environment" in said or "cannot be read" in said
        assert not any(word in said for word in ("Signature", "hidden", "AWS4", "\n"))


def test_a_row_with_an_address_that_cannot_be_one_is_a_failure(tmp_path: Path, site: Site) -> None:
    write_image(site.root / "a.png")
    rows = (
        f"image,label\n{site.address}/a.png?X-Sig=hidden,x\nhttps:///b.png,x\nhttps://me:hidden@h/c.png,y\n"
    )
    found = scan(_write(tmp_path / "t.csv", rows.encode()))
    assert found.payloads() == [(site.root / "a.png").read_bytes()]
    assert [failure.reason for failure in found.failures] == [
        "https:///b.png: https:///b.png names no server",
        "https://h/c.png: a name or password in an address would be kept with it; credentials come from the "
        "environment",
    ]
    assert "hidden" not in f"{found.table.to_pylist()}{found.failures}{found.source.description}"


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingDependencyError, match=r"headstart\[cloud\]"):
        open_source("s3://a-bucket-that-nobody-opened/x")


@pytest.mark.slow
def test_extract_predict_and_what_reads_samples_again_work_on_a_bucket(
    tmp_path: Path, put: Callable[..., str], requests: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    import headstart as hs

    monkeypatch.chdir(tmp_path)
    write_images(
        tmp_path / "data", *(f"{label}/{number}.png" for label in ("a", "b") for number in range(10))
    )
    address = put(tmp_path / "data", "photos")
    made = {"backbone": f"hf:{vit(tmp_path / 'vit')}", "quiet": True}
    features = hs.extract(address, **made)
    assert features.info["source"]["location"] == address
    assert features.name == "photos-vit"
    requests.seen.clear()
    assert len(hs.extract(address, **made)) == 20
    assert set(requests.kinds()) == {"list"}
    run = hs.fit_head(features, head="ridge", out="runs/a", quiet=True)
    found = hs.predict(run, f"{address}/a/0.png", quiet=True).table
    assert found.column("id").to_pylist() == [f"{address}/a/0.png"]
    assert hs.predict(run, address, quiet=True).table.num_rows == 20
    local = hs.extract(tmp_path / "data", **made, set="local")
    assert local.arrays("train")[0].tolist() == features.arrays("train")[0].tolist()
    requests.seen.clear()
    spool.cache_clear()
    hs.report(features, out="page.html")
    assert requests.kinds().count("read") == 20  # for the small pictures
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    kept += [path for path in Path(os.environ["HEADSTART_CACHE"]).rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in kept)


def test_each_byte_of_a_tar_travels_once(
    tmp_path: Path, put: Callable[..., str], requests: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranged, "BLOCK", 1 << 14)
    spool.cache_clear()
    size = write_tar(tmp_path / "a.tar", 100).stat().st_size
    address = f"{put(tmp_path)}/a.tar"
    requests.seen.clear()
    found = scan(address)
    assert len(found.payloads()) == 100
    assert requests.kinds().count("read") == -(-size // (1 << 14))


def test_what_a_backbone_will_read_is_asked_for_before(
    tmp_path: Path, put: Callable[..., str], requests: Proxy
) -> None:
    write_images(tmp_path, *(f"{number}.png" for number in range(40)))
    memo, address = MemoryMemo(), put(tmp_path)
    scan(address, memo)
    spool.cache_clear()  # as of data that is larger than it
    found = scan(address, memo)
    requests.seen.clear()
    requests.seconds = 0.2
    for row in range(40):
        found.source.read_ahead(row)
    assert found.payloads() == [(tmp_path / name).read_bytes() for name in found.ids]
    assert requests.kinds().count("read") == 40
    assert requests.most_at_once > 1


def _arrow(root: Path) -> Path:
    pictures = [write_image(root / "picture.png", number).read_bytes() for number in range(4)]
    (root / "picture.png").unlink()
    table = pa.table({"image": pictures, "label": list("xyxy")})
    with pa.OSFile(str(root / "t.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return root / "t.arrow"


def _npz(root: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    np.savez(root / "t.npz", images=pixels, labels=np.arange(6) % 2)
    return root / "t.npz"


def _idx(root: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    _write(root / "train-images-idx3-ubyte", struct.pack(">4I", 0x803, 6, 8, 8) + pixels.tobytes())
    _write(root / "train-labels-idx1-ubyte", struct.pack(">2I", 0x801, 6) + bytes([0, 1] * 3))
    return root / "train-images-idx3-ubyte"


@pytest.mark.parametrize("write", [_arrow, _npz, _idx])
def test_arrays_and_arrow_files_are_read_from_their_copies(
    write: Callable[[Path], Path], tmp_path: Path, put: Callable[..., str]
) -> None:
    path = write(tmp_path)
    same(scan(f"{put(tmp_path)}/{path.name}"), scan(path))
