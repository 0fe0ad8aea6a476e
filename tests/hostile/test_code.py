"""Code that a stranger's run, cache, configuration or pipeline names is not imported, until the user trusts it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs
from headstart.errors import HeadstartError, TrustError

from ..end_to_end.conftest import Result
from .conftest import Code, make_run, make_set

Runner = Callable[..., Result]


def forget(code: Code) -> None:
    """As in a process that has not imported it yet."""
    sys.modules.pop(code.name, None)
    code.marker.unlink(missing_ok=True)


def test_what_this_user_made_on_this_machine_asks_nothing(
    headstart: Runner, texts: Path, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(texts, code, code("head"))
    forget(code)
    monkeypatch.setattr("headstart.trust._trusted", set())  # as in a process of its own
    more = texts.with_name("more.csv")
    more.write_text("text\na new text\n")
    assert headstart("predict", "run", more, "--cache", "cache").code == 0
    assert headstart("cache", "doctor", "s", "--cache", "cache").code == 0
    assert code.was_imported


@pytest.mark.parametrize("part", ["backbone", "head"])
def test_predicting_with_a_strangers_run(
    headstart: Runner, texts: Path, code: Code, another_machine: Callable[[], None], part: str
) -> None:
    make_run(texts, code, code("head") if part == "head" else "ridge")
    texts.write_text("text\na new text\n")
    another_machine()
    forget(code)
    done = headstart("predict", "run", texts)
    assert done.code == 2
    assert f"names the code {code(part)}" in done.err
    assert f"--trust {code.name}" in done.err
    assert not code.was_imported
    run = hs.load_run("run")
    with pytest.raises(TrustError, match="nothing was imported"):
        run.predict([("a new text")])
    assert not code.was_imported
    assert headstart("predict", "run", texts, "--trust", code.name).code == 0
    assert code.was_imported


def test_types_of_a_head_of_scikit_learns_kind(
    headstart: Runner, texts: Path, code: Code, another_machine: Callable[[], None]
) -> None:
    """An estimator of the user's own is read again; a stranger's is not made, until its module is trusted."""
    made = headstart(
        "extract", texts, "--backbone", Code(texts.parent)("backbone"), "--set", "s", "--cache", "cache"
    )
    assert made.code == 0, made.err
    fitted = headstart("fit-head", "s", "--head", code("Most"), "--cache", "cache", "--out", "run")
    assert fitted.code == 0, fitted.err
    forget(code)
    assert hs.load_run("run").head.predict([[0.0] * 8]).shape == (1,)
    another_machine()
    forget(code)
    with pytest.raises(
        TrustError, match=rf"head.skops names the types {code.name}.Most, .* --trust {code.name} "
    ):
        hs.load_run("run").head  # noqa: B018
    assert not code.was_imported
    assert hs.load_run("run", trust=[code.name]).head.predict([[0.0] * 8]).shape == (1,)
    assert code.was_imported


def test_python_trusts_by_name(texts: Path, code: Code, another_machine: Callable[[], None]) -> None:
    make_run(texts, code)
    another_machine()
    forget(code)
    run = hs.load_run("run")
    with pytest.raises(TrustError):
        run.predict(["a new text"], trust=["some_other_module"])
    assert not code.was_imported
    assert run.predict(["a new text"], trust=[code("backbone")]).num_rows == 1


def test_looking_at_a_strangers_run_imports_nothing(
    headstart: Runner, texts: Path, code: Code, another_machine: Callable[[], None]
) -> None:
    make_run(texts, code, code("head"))
    another_machine()
    forget(code)
    assert headstart("runs", "ls", ".").code == 0
    assert headstart("runs", "show", "run").code == 0
    assert headstart("cache", "ls", "--cache", "cache").code == 0
    assert headstart("cache", "show", "s", "--cache", "cache").code == 0
    assert headstart("cache", "verify", "--cache", "cache").code == 0
    assert headstart("audit", "s", "--cache", "cache").code == 0
    assert headstart("export", "run", "--out", "exported").code == 2
    repr(hs.load_run("run"))
    assert not code.was_imported


def test_doctor_and_fine_tune_on_a_strangers_cache(
    headstart: Runner, texts: Path, code: Code, another_machine: Callable[[], None]
) -> None:
    make_set(texts, code)
    another_machine()
    forget(code)
    for words in (("cache", "doctor", "s"), ("fine-tune", "s", "--epochs", "1")):
        done = headstart(*words, "--cache", "cache")
        assert (done.code, "names the code" in done.err) == (2, True), done.err
    assert not code.was_imported


def test_a_head_fitted_on_a_strangers_set_does_not_make_its_code_the_users(
    headstart: Runner, texts: Path, code: Code, another_machine: Callable[[], None]
) -> None:
    make_set(texts, code)
    another_machine()
    forget(code)
    assert headstart("fit-head", "s", "--head", "ridge", "--cache", "cache", "--out", "run").code == 0
    texts.write_text("text\na new text\n")
    assert headstart("predict", "run", texts).code == 2
    assert not code.was_imported


@pytest.mark.parametrize(
    "said",
    [
        "head: {}", "head: linear\ncallback: ['{}']", "track: ['{}']", 'head: "p\\x79:{0.name}:head"',
        'head: "p\\\n  y:{0.name}:head"',
    ],
)  # fmt: skip
def test_a_strangers_configuration(headstart: Runner, texts: Path, code: Code, said: str) -> None:
    make_set(texts, Code(texts.parent))
    text = said.format(code) if "{0" in said else said.format(code("head"))
    Path("config.yaml").write_text(f"set: s\n{text}\n")
    done = headstart("fit-head", "--config", "config.yaml", "--cache", "cache", "--out", "run")
    assert (done.code, "names the code" in done.err) == (2, True), done.err
    assert not code.was_imported


def test_a_strangers_pipeline(headstart: Runner, texts: Path, code: Code) -> None:
    Path("p.yaml").write_text(
        f"data: texts.csv\nsteps:\n  f: {{extract: {{backbone: '{code('backbone')}'}}}}\n"
    )
    done = headstart("run", "p.yaml")
    assert (done.code, "names the code" in done.err) == (2, True), done.err
    assert not code.was_imported
    assert headstart("run", "p.yaml", "--trust", code.name).code == 0
    Path("p.yaml").write_text(Path("p.yaml").read_text() + "  trust: {extract: {trust: [x]}}\n")
    assert "there is no option 'trust'" in headstart("run", "p.yaml").err


def test_a_strangers_recipe_of_a_view(
    headstart: Runner, texts: Path, code: Code, another_machine: Callable[[], None]
) -> None:
    bundled = Code(texts.parent)  # of the user's own, trusted below
    words = ("extract", texts, "--backbone", bundled("backbone"), "--set", "s", "--cache", "cache")
    assert headstart(*words, "--views", "1", "--augment", code("change")).code == 0
    another_machine()
    forget(code)
    done = headstart("cache", "doctor", "s", "--cache", "cache", "--trust", bundled.name)
    assert not code.was_imported
    assert "names the code" in done.err


@pytest.mark.parametrize("name", ["json", "html", "csv"])
def test_names_that_are_no_code_are_refused(texts: Path, code: Code, name: str) -> None:
    make_run(texts, code)
    head = json.loads(Path("run/model/head.json").read_text())
    head |= {"kind": "own", "params": {"spec": f"{name}:tool"}}
    Path("run/model/head.json").write_text(json.dumps(head))
    with pytest.raises(HeadstartError):
        hs.load_run("run").predict(["a new text"])
