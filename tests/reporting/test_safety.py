"""Whatever stands in names, ids and texts comes back as it is, and nothing of this machine is on the page."""

from __future__ import annotations

import getpass
import html
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.report_page import MOST_SHOWN, Page
from headstart.reporting.vectors import page_spec

from .conftest import IMAGES, TEXTS, data_of, write_picture
from .contract import column_of

HOSTILE = [
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"quoted\" 'and' `ticked`",
    "a\u2028b\u2029c", "\u202eright to left\u202c", "new\nline\ttab\r", "&amp; &lt;", "{{7*7}} ${1}",
    "\U0001f98a fox", "'; DROP TABLE x; --", "<!-- --> ]]>", "\\u003c", "=HYPERLINK(1)", "\x7f\x1b[31m",
    "e\u0301 \ufeff",
]  # fmt: skip


def data_in(page: hs.Page) -> dict[str, Any]:
    """The data of a page as a browser reads it."""
    [found] = re.findall(
        r'<script type="application/json" id="headstart-data">(.*?)</script>', page.html, re.DOTALL
    )
    return dict(json.loads(found))


@pytest.fixture
def hostile() -> hs.FeatureSet:
    """Every hostile string as an id, a class and a text, in memory."""
    n = len(HOSTILE)
    texts = [f"{HOSTILE[row % n]} {row}" for row in range(8 * n)]
    ids = [f"{HOSTILE[row % n]}#{row}" for row in range(8 * n)]
    labels = [HOSTILE[row % n] for row in range(8 * n)]
    return hs.extract(texts, TEXTS, labels=labels, ids=ids, set="hostile", quiet=True)


def test_hostile_strings_come_back_exactly(hostile: hs.FeatureSet) -> None:
    run = hs.fit_head(hostile, "centroid", plots="none", out="runs/hostile")
    texts = [f"{HOSTILE[row % len(HOSTILE)]} {row}" for row in range(8 * len(HOSTILE))]
    page = hs.report(run, data=texts)
    data = data_in(page)
    table = hostile.samples
    assert data["samples"]["ids"] == table.column("id").to_pylist()
    assert column_of(data, "label") == table.column("label:label").to_pylist()
    assert set(data["label"]["names"]) == set(table.column("label:label").to_pylist())
    assert data["samples"]["texts"] == texts
    for string in HOSTILE:
        if "<" in string:
            assert string not in page.html


def test_a_million_letters_are_there_whole_in_ids_and_cut_in_texts() -> None:
    long, label = "x" * 1_000_000, "y" * 20_000
    texts = [f"text {row}" for row in range(39)] + [long]
    labels = [label if row % 2 else "short" for row in range(40)]
    ids = [f"{row}" for row in range(39)] + [long]
    features = hs.extract(texts, TEXTS, labels=labels, ids=ids, set="long", quiet=True)
    page = data_of(hs.fit_head(features, "ridge", plots="none"), data=texts)
    assert page["samples"]["ids"][39] == long
    assert page["samples"]["texts"][39] == "x" * 279 + "…"
    assert sorted(map(len, page["label"]["names"])) == [5, 20_000]


def test_files_with_hostile_names_are_samples_like_others(tmp_path: Path) -> None:
    for number, name in enumerate(["<b>", "a'b", "\u202ex", "ü \u2028", "&"]):
        write_picture(tmp_path / "p" / "circle" / f"{name}{number}.png", number)
        write_picture(tmp_path / "p" / "square" / f"{name}{number}.png", 50 + number)
    features = hs.extract(tmp_path / "p", IMAGES, set="p", quiet=True)
    data = data_in(features.report_page())
    assert data["samples"]["ids"] == features.samples.column("id").to_pylist()
    assert len(data["samples"]["thumbs"]["images"]) == 10


def test_nothing_local_is_on_the_page(
    photo_set: hs.FeatureSet, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_SECRET", "a-secret-of-the-environment")
    run = hs.fit_head(photo_set, "ridge", plots="none", out=tmp_path / "runs" / "mine")
    other = hs.fit_head(photo_set, "knn", plots="none", out=tmp_path / "runs" / "other")
    pages = [hs.report(run), hs.report(photo_set), hs.report(run, other), hs.report(run, audit=True)]
    photos.rename(tmp_path / "moved away")
    pages += [hs.report(run), hs.report(run, data=tmp_path / "nowhere")]
    (photo_set.path.parent).rename(tmp_path / "gone")
    pages.append(hs.report(tmp_path / "runs" / "mine"))
    local = [
        str(tmp_path), str(tmp_path.parent), os.path.expanduser("~"), os.getcwd(), str(photo_set.cache),
        os.environ["XDG_CACHE_HOME"], "a-secret-of-the-environment",
    ]  # fmt: skip
    # A short name is also a word, or a part of one.
    local += [name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 6]
    for page in pages:
        data = json.dumps(data_in(page), ensure_ascii=False)
        assert [name for name in local if name in data or name in page.html] == []


def test_ids_that_are_paths_are_said(photos: Path) -> None:
    """Corrections need ids as they are: they are not changed, and whoever makes the page is told."""
    files = sorted(map(str, photos.glob("*/*.png")))[:30]
    labels = [Path(file).parent.name for file in files]
    listed = hs.extract(files, IMAGES, labels=labels, set="listed", quiet=True)
    page = listed.report_page(audit=False)
    assert any(note.startswith("30 ids on this page are absolute paths") for note in page.notes)
    named = hs.extract(
        files, IMAGES, labels=labels, ids=[Path(f).name for f in files], set="named", quiet=True
    )
    assert not any("paths" in note for note in named.report_page(audit=False).notes)


def test_backbones_of_folders_are_named_by_their_last_part(tiny_bert: Path) -> None:
    texts = [f"text {row}" for row in range(30)]
    features = hs.extract(
        texts, f"hf:{tiny_bert}", labels=[f"c{row % 2}" for row in range(30)], set="s", quiet=True
    )
    page = hs.report(hs.fit_head(features, "ridge", plots="none"))
    assert str(tiny_bert.parent) not in page.html
    assert ["backbone", "hf:tiny-bert"] in data_in(page)["about"]


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("hf:~/models/mine/", "hf:mine"),
        ("hf:C:\\Users\\me\\mine", "hf:mine"),
        ("hf:./mine", "hf:mine"),
        ("bundled:all-minilm-l6-v2", "bundled:all-minilm-l6-v2"),
        ("py:package.module:factory", "py:package.module:factory"),
    ],
)
def test_no_spec_says_where_a_folder_lies(spec: str, shown: str) -> None:
    assert page_spec(spec) == shown


def test_a_notebook_shows_it_in_a_frame_of_its_own(hostile: hs.FeatureSet) -> None:
    page = hostile.report_page(audit=False)
    shown = page._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert 'sandbox="allow-scripts' in shown
    assert "allow-same-origin" not in shown
    inside = re.search(r'srcdoc="(.*?)"', shown, re.DOTALL)
    assert inside is not None
    assert html.unescape(inside[1]) == page.html
    assert len(page) == len(page.html.encode())
    assert "html=" not in repr(page)


def test_a_notebook_is_not_filled_with_a_large_page() -> None:
    page = Page("x" * (MOST_SHOWN + 1), "<photos>", {}, [])
    shown = page._repr_html_()
    assert len(shown) < 1000
    assert "&lt;photos&gt;: a page of 10.0 MB" in shown
    assert "page.save(" in shown
