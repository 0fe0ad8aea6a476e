"""The file itself: whatever is in the data stays data, and the policy fits the scripts."""

from __future__ import annotations

import base64
import html
import json
import re
from hashlib import sha256
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.reporting import assets
from headstart.reporting.html import page_html

from .pages import HOSTILE

DATA = re.compile(r'<script type="application/json" id="headstart-data">(.*?)</script>', re.DOTALL)
FORBIDDEN = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "Function(",
    "fetch(",
    "XMLHttpRequest",
    "WebSocket",
    "localStorage",
    "sessionStorage",
    "indexedDB",
    "document.cookie",
    "import(",
    "</script",
    "<!--",
    "http:",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def data_of(page: str) -> Any:
    [text] = DATA.findall(page)
    return json.loads(text)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_page_holds_exactly_the_data(data: dict[str, Any]) -> None:
    assert data_of(page_html(data)) == data


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_no_text_leaves_its_place(text: str) -> None:
    page = page_html({"title": text, "samples": {"ids": [text]}})
    assert data_of(page)["samples"]["ids"] == [text]
    assert page.count("<script") == 2  # the data and ours
    assert page.count("</script>") == 2
    assert page.count("</title>") == 1
    page.encode("utf-8")


def test_figures_that_json_cannot_hold_are_none() -> None:
    assert data_of(page_html({"figure": float("nan"), "list": (1.5, float("inf"))})) == {
        "figure": None,
        "list": [1.5, None],
    }


def test_the_policy_allows_the_page_own_script_and_style_and_nothing_else() -> None:
    page = page_html({"title": "a set"})
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy).split(";"))
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'{digest(script)}'",
        "style-src": f"'{digest(style)}'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def digest(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def test_every_script_of_the_folder_is_on_the_page_once() -> None:
    folder = files("headstart.reporting").joinpath("assets", "js")
    assert sorted(assets.SCRIPTS) == sorted(entry.name.removesuffix(".js") for entry in folder.iterdir())


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_the_script_never_needs(forbidden: str) -> None:
    found = assets.script().replace("http://www.w3.org/2000/svg", "")
    assert forbidden not in found


def test_the_skeleton_has_neither_style_nor_event_attributes() -> None:
    assert not re.search(r"\s(style|on\w+)=", assets.skeleton())
