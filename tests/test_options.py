"""An option is said once: in the signature of a public function, which all else is made from."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import headstart as hs
from headstart import api, config
from headstart.cli.app import app
from headstart.clustering.config import ClusterConfig
from headstart.errors import DataError
from headstart.inspection.audit_result import AuditConfig
from headstart.inspection.project import ProjectConfig
from headstart.labelling.config import SuggestConfig
from headstart.options import parameters

# What only Python, or only the shell and Python's call, is told: no configuration holds it.
ASIDE = {"trust", "out", "overwrite", "resume", "features", "run", "runs"}
INTERNAL = {"digest", "more_backbones", "least_workers", "format", "set", "runs"}
INTERNAL |= {"labels", "splits", "ids", "groups", "layout"}  # of samples that only a program holds
CONFIGS = [
    config.ExtractConfig,
    config.FitConfig,
    config.TuneConfig,
    config.DoctorConfig,
    config.PredictConfig,
    AuditConfig,
    ProjectConfig,
    SuggestConfig,
    ClusterConfig,
]


@pytest.mark.parametrize("function", [hs.extract, hs.fit_head, hs.fine_tune, hs.predict, hs.compare, hs.export,
                                      hs.load_module, hs.run_pipeline])  # fmt: skip
def test_every_option_is_in_the_signature(function: Callable[..., Any]) -> None:
    found = inspect.signature(function).parameters.values()
    assert all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in found)
    assert all(p.annotation is not p.empty for p in found)


def test_a_mistyped_name_is_met_with_the_nearest_before_anything_runs() -> None:
    with pytest.raises(
        TypeError, match=r"extract\(\) got an unexpected keyword argument 'tapz'; did you mean 'taps'"
    ):
        hs.extract("nowhere", backbone="bundled:none", tapz=["last.mean"])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'folds'"):
        hs.fit_head("nothing", fold=3)  # type: ignore[call-arg]


def test_help_in_python_is_the_help_of_the_command() -> None:
    for name, parameter in parameters("fit_head").items():
        assert f"{name}\n    {parameter.option.help}" in (hs.fit_head.__doc__ or "")


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_holds_the_options_of_its_function_with_their_defaults(
    kind: type[config.Config],
) -> None:
    known = parameters(kind.function or "extract")
    assert set(known) - ASIDE <= set(kind.model_fields)
    assert set(kind.model_fields) - INTERNAL <= set(known)
    empty: dict[Any, Any] = {list: [], dict: {}}
    for name in set(known) & set(kind.model_fields):
        field, default = kind.model_fields[name], known[name].default
        if default is None and typing.get_origin(field.annotation) in empty:
            default = empty[typing.get_origin(field.annotation)]
        assert field.is_required() if known[name].is_required else field.default == default, name


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("extract", "extract"),
        ("fit-head", "fit_head"),
        ("fine-tune", "fine_tune"),
        ("predict", "predict"),
        ("evaluate", "evaluate"),
        ("compare", "compare"),
        ("export", "export"),
        ("run", "run_pipeline"),
        ("audit", "audit"),
        ("rank", "rank"),
        ("project", "project"),
        ("plots", "draw_plots"),
    ],
)
def test_a_command_has_the_defaults_and_the_help_of_its_function(command: str, function: str) -> None:
    made = {p.name: p for p in typer.main.get_command(app).commands[command].params}  # type: ignore[attr-defined]
    for name, parameter in parameters(function).items():
        assert made[name].help == parameter.option.help
        assert made[name].rich_help_panel == parameter.option.panel
        if not parameter.is_required:
            assert made[name].default == parameter.default


def test_no_package_has_the_name_of_a_function_that_is_to_come() -> None:
    names = {path.stem for path in Path(hs.__file__).parent.iterdir()}
    assert not names & {*api.__all__, "audit", "rank", "project", "runs"}


@pytest.mark.parametrize("function", [hs.open_set, hs.fit_head, hs.fine_tune, api.audit, api.rank, api.project,
                                      api.doctor])  # fmt: skip
def test_a_cache_may_be_a_path(function: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(DataError) as as_path:
        function("nothing", cache=tmp_path)
    with pytest.raises(DataError) as as_text:
        function("nothing", cache=str(tmp_path))
    assert str(as_path.value) == str(as_text.value)
