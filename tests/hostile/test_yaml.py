"""YAML that has no end, or that would write elsewhere, is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.errors import ConfigError
from headstart.yaml_file import read_yaml

from ..end_to_end.conftest import Result

Runner = Callable[..., Result]

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)
ENDLESS = {
    "laughs": (LAUGHS, "aliases"),
    "merges": (MERGES, "aliases"),
    "itself": ("steps: &s {next: *s}\n", "holds itself"),
    "itself in a list": ("data: &d [*d]\n", "holds itself"),
    "deep": ("data: " + "[" * 500 + "]" * 500 + "\n", "p.yaml"),
    "not a number": ("data: !!int ''\n", "cannot be read"),
    "code": ("data: !!python/object/apply:os.system ['true']\n", "no YAML"),
    "unknown letters": ("data: \xff", "cannot read"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_document_without_end_is_refused(headstart: Runner, kind: str) -> None:
    text, says = ENDLESS[kind]
    Path("p.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=says):
        read_yaml(Path("p.yaml"), "pipeline")
    for words in (("run", "p.yaml", "--dry-run"), ("fit-head", "--config", "p.yaml")):
        done = headstart(*words)
        assert (done.code, "p.yaml" in done.err) == (2, True), done.err


def test_aliases_that_end_are_read() -> None:
    text = "shared: &s {lr: 0.1, names: [no, on, 010]}\na: {<<: *s, lr: 1}\nb: *s\n"
    Path("p.yaml").write_text(text)
    assert read_yaml(Path("p.yaml"), "pipeline")[1] == {
        "shared": {"lr": 0.1, "names": ["no", "on", "010"]},  # as they are written
        "a": {"lr": 1, "names": ["no", "on", "010"]},
        "b": {"lr": 0.1, "names": ["no", "on", "010"]},
    }


@pytest.mark.parametrize(
    "place", ["tensorboard:/x", "tensorboard:../x", "tensorboard:~/x", "mlflow:http://x.org"]
)
def test_figures_are_not_sent_where_a_stranger_says(headstart: Runner, place: str) -> None:
    Path("p.yaml").write_text(
        f"data: t.csv\nsteps:\n  f: {{extract: {{backbone: 'bundled:x'}}}}\n  r: {{fit-head: {{track: ['{place}']}}}}\n"
    )
    done = headstart("run", "p.yaml")
    assert (done.code, f"written to {place}" in done.err) == (2, True), done.err


def test_steps_do_not_leave_the_folder_of_their_pipeline(headstart: Runner) -> None:
    for name in ("../../x", "/x", ".."):
        Path("p.yaml").write_text(
            f"data: t.csv\nsteps:\n  '{name}': {{extract: {{backbone: 'bundled:x'}}}}\n"
        )
        assert headstart("run", "p.yaml").code == 2
        Path("p.yaml").write_text(
            f"name: '{name}'\ndata: t.csv\nsteps:\n  f: {{extract: {{backbone: 'bundled:x', set: '{name}'}}}}\n"
        )
        assert headstart("run", "p.yaml").code == 2
