"""From a document to a pipeline: every name known, every value of its kind, every step after what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from headstart.cache.layout import SET_NAME
from headstart.config import (
    ColumnConfig,
    CompareConfig,
    Config,
    ExtractConfig,
    FitConfig,
    GivenConfig,
    PredictConfig,
    TuneConfig,
)
from headstart.errors import ConfigError, HeadstartError
from headstart.options import item_of, members, nearest, split
from headstart.pipelines.document import Document, change, read_document
from headstart.pipelines.shipped import MADE, MADE_MODELS, TEXTS

TOP = ("name", "about", "data", "steps")
STAND_IN = "…"
"""For what is known only once earlier steps have run."""


class DataConfig(ColumnConfig):
    """The data of a pipeline: where it lies, or what makes it, and how it is read."""

    path: str | None = None
    make: str | None = None
    rows: int | None = Field(None, ge=1)
    labelled: int | None = Field(None, ge=1)


class PredictStep(PredictConfig):
    """Options of predictions."""

    run: str


class ExportStep(Config):
    """Options of an export."""

    run: str
    to: Literal["hf", "onnx", "timm"]
    label: str | None = None
    offline: bool = False


@dataclass(frozen=True)
class Verb:
    """A command that a step can be: options that a pipeline decides itself, and those that name earlier steps."""

    config: type[Config]
    left_out: frozenset[str] = frozenset()
    sets: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The options that it takes."""
        held = GivenConfig.model_fields  # which no file can say
        return [name for name in self.config.model_fields if name not in self.left_out and name not in held]


# A fine-tuning reads its data and makes its inputs as the set does that it trains on.
_OF_THE_SET = frozenset(
    {
        *ColumnConfig.model_fields, "data", "max_length", "on_long", "image_size", "crop_pct", "prompt", "weights",
        "split_seed", "format",
    }
)  # fmt: skip
VERBS: Mapping[str, Verb] = {
    "extract": Verb(ExtractConfig, frozenset({"cache"})),
    "fit-head": Verb(FitConfig, frozenset({"cache", "digest"}), ("set",), ("teacher",)),
    "fine-tune": Verb(
        TuneConfig,
        frozenset({"cache", "digest", "replace"}) | _OF_THE_SET,
        ("set",),
        ("init_head", "teacher"),
    ),
    "compare": Verb(CompareConfig, frozenset(), ("set",), ("runs",)),
    "predict": Verb(PredictStep, frozenset({"cache"}), (), ("run",)),
    "export": Verb(ExportStep, frozenset(), (), ("run",)),
}
LEAVES_A_RUN = ("fit-head", "fine-tune")


def as_written(config: type[Config], name: str, value: Any) -> Any:
    """A value as the configuration takes it: where that is a list, several with commas between will do.

    Examples
    --------
    >>> as_written(TuneConfig, "unfreeze", "0, 2,all"), as_written(TuneConfig, "epochs", 3)
    (['0', '2', 'all'], 3)
    """
    if name == "sweep" and isinstance(value, str):
        from headstart.fitting.grids import parse_sweep

        return parse_sweep(value)
    kind = config.model_fields[name].annotation
    # Where one thing is as good as a list of them, a comma may be part of it.
    is_list = item_of(kind) is not None and str not in members(kind)
    return split(value) if is_list and isinstance(value, str) else value


@dataclass(frozen=True)
class Step:
    """One step: its options as the command's configuration takes them, and the earlier steps that it hangs on."""

    name: str
    verb: str
    options: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    data: DataConfig | None = None


@dataclass(frozen=True)
class Pipeline:
    """An experiment; its steps are in order."""

    name: str
    about: str
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step:
        """The step of a name."""
        return next(step for step in self.steps if step.name == name)


def load_pipeline(path: Path, changes: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline and check all of it, with ``--set`` options (``PATH=VALUE``), before anything runs.

    Raises
    ------
    ConfigError
        A name or a value does not belong; the message says where it stands, and which name is near.
    """
    document = read_document(path)
    change(document, changes, list(VERBS))
    values, top = document.values, _Spot(document)
    _check_names(top, values, TOP)
    name = values.get("name", path.stem)
    if not isinstance(name, str) or not SET_NAME.fullmatch(name):
        raise top.error(f"a name has letters, digits, '.', '_' and '-' (got {name!r})", "name")
    steps = values.get("steps")
    if not isinstance(steps, dict) or not steps:
        raise top.error(
            "there are no steps; write steps: with a name for each and its command below", "steps"
        )
    data = _data(top.below("data"), values.get("data"))
    found: list[Step] = []
    for step_name, said in steps.items():
        found.append(_step(top.below("steps", str(step_name)), said, data, found))
    return Pipeline(name, " ".join(str(values.get("about", "")).split()), tuple(found))


@dataclass(frozen=True)
class _Spot:
    """A place in a document, and what mistakes there begin with."""

    document: Document
    names: tuple[str, ...] = ()
    before: str = ""

    def below(self, *names: str, before: str = "") -> _Spot:
        """A place further down."""
        return _Spot(self.document, (*self.names, *names), before or self.before)

    def error(self, message: str, *names: str) -> ConfigError:
        """A mistake here, or below."""
        return self.document.error(self.before + message, *self.names, *names)


def _step(spot: _Spot, said: Any, data: DataConfig | None, before: Sequence[Step]) -> Step:
    name = spot.names[-1]
    if not SET_NAME.fullmatch(name):
        raise spot.error(f"a step's name has letters, digits, '.', '_' and '-' (got {name!r})")
    if name == "data":
        raise spot.error("step 'data': its folder is that of data that is made; choose another name")
    if not isinstance(said, dict) or len(said) != 1:
        raise spot.error(f"step {name!r} needs one command, of {', '.join(VERBS)}")
    verb, given = next(iter(said.items()))
    inside = spot.below(str(verb), before=f"step {name!r}: ")
    if verb not in VERBS:
        raise inside.error(_unknown("command", verb, list(VERBS)))
    if given is not None and not isinstance(given, dict):
        raise inside.error(f"{verb} takes options by name (got {given!r})")
    options = _options(inside, verb, given or {})
    own = _data(spot.below(verb, "data"), options.pop("data", None))
    if verb in ("extract", "predict"):
        own = own or data
        if own is None:
            raise spot.error(
                f"step {name!r} needs data: a folder or a file, as --set data=PATH or data: in the file"
            )
        columns = own.model_dump(
            exclude={"path", "make", "rows", "labelled"}, exclude_unset=True, exclude_none=True
        )
        options = {**MADE.get(own.make or "", {}), **columns, **options}
    needs = _needs(inside, verb, options, before)
    _check_values(inside, verb, options)
    return Step(name, verb, options, needs, own)


def _options(spot: _Spot, verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their names with underscores, those without a value left out."""
    kind = VERBS[verb]
    _check_names(spot, given, kind.names)
    found: dict[str, Any] = {}
    for written, value in given.items():
        option = written.replace("-", "_")
        if option in found:
            raise spot.error(f"{option!r} is given twice; keep one", written)
        if value is None:
            continue
        try:
            found[option] = as_written(kind.config, option, value)
        except HeadstartError as error:
            raise _Spot(spot.document, spot.names).error(str(error), written) from error
    return found


def _check_names(spot: _Spot, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if str(name).replace("-", "_") not in known:
            raise spot.error(_unknown("option", str(name), known), str(name))


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    near = nearest(name.replace("-", "_") if what == "option" else name, known)
    return f"there is no {what} {name!r}; {_hint(near, known)}"


def _hint(near: str | None, known: Sequence[str]) -> str:
    return f"did you mean {near}?" if near else f"there are {', '.join(known) or 'none'}"


def _data(spot: _Spot, said: Any) -> DataConfig | None:
    """The data that is meant, checked as far as it can be before it is there."""
    if said is None:
        return None
    if not isinstance(said, dict):
        said = {"path": str(said)}
    _check_names(spot, said, list(DataConfig.model_fields))
    values = {name.replace("-", "_"): value for name, value in said.items() if value is not None}
    try:
        data = DataConfig(**{name: as_written(DataConfig, name, value) for name, value in values.items()})
    except ConfigError as error:
        raise spot.error(f"data: {error}") from error
    if data.path is not None and data.make is not None:
        raise spot.error("data has a path or is made, not both")
    if data.make is None and data.rows is not None and data.path is not None:
        raise spot.error("rows is for data that is made; give fewer rows in the data itself", "rows")
    if data.labelled is not None and (data.path is not None or MADE.get(data.make or "") is not TEXTS):
        raise spot.error(
            "labelled is for texts that are made: so many train samples of each class", "labelled"
        )
    if data.make is not None and data.make not in MADE:
        near = nearest(data.make, list(MADE))
        there = f"there are {', '.join(MADE)}" + (f"; did you mean {near}?" if near else "")
        raise spot.error(f"nothing is called {data.make!r} that could be made; {there}", "make")
    return None if data.path is None and data.make is None else data


def _needs(spot: _Spot, verb: str, options: dict[str, Any], before: Sequence[Step]) -> tuple[str, ...]:
    """The earlier steps that a step hangs on; where they are plain they need not be said."""
    kind, plain = VERBS[verb], _Spot(spot.document, spot.names)
    name = spot.names[1]
    sets = [step.name for step in before if step.verb == "extract"]
    runs = [step.name for step in before if step.verb in LEAVES_A_RUN]
    if "set" in kind.sets and "set" not in options and verb != "compare":
        if not sets:
            raise plain.error(f"step {name!r} needs features: put an extract step before it")
        options["set"] = sets[-1]
    if verb == "compare" and not options.get("runs"):
        options["runs"] = runs
    needs: list[str] = []
    named = [(option, sets, "an extract step") for option in kind.sets]
    named += [(option, runs, "a step that leaves a run") for option in kind.runs]
    for option, known, what in named:
        said = options.get(option, [])
        for one in said if isinstance(said, list) else [said]:
            if one not in known:
                hint = _hint(nearest(str(one), known), known)
                raise spot.error(f"{option} names {what} before it, and {one!r} is none; {hint}", option)
            needs.append(str(one))
    if verb == "extract":
        needs += _exported(spot, options.get("backbone"), before)
    if verb == "compare" and len(options["runs"]) < 2:
        raise spot.error("compare takes two runs or more")
    if verb in ("predict", "export") and "run" not in options:
        raise spot.error(f"say which run, of {', '.join(runs) or 'none'}")
    return tuple(dict.fromkeys(needs))


def _exported(spot: _Spot, backbone: Any, before: Sequence[Step]) -> list[str]:
    """The export step whose model is meant as a backbone; a model that is made must be one that there is."""
    known = list(MADE_MODELS)
    if isinstance(backbone, str) and backbone.startswith("made:") and backbone not in known:
        hint = _hint(nearest(backbone, known), known)
        raise spot.error(f"nothing is called {backbone!r} that could be made; {hint}", "backbone")
    exports = [step.name for step in before if step.verb == "export"]
    return [backbone] if backbone in exports else []


def _check_values(spot: _Spot, verb: str, options: Mapping[str, Any]) -> None:
    """Make the configuration once with stand-ins, so that a mistake shows now and not after an hour."""
    needed = {"data": STAND_IN} if verb in ("extract", "fine-tune", "predict") else {}
    try:
        VERBS[verb].config(**{**needed, **options})
    except ConfigError as error:
        option = str(error).partition(":")[0].partition(".")[0].replace("-", "_")
        dashed = option.replace("_", "-")
        written = dashed if (*spot.names, dashed) in spot.document.places else option
        raise spot.error(str(error), written) from error
    if verb == "fine-tune":
        from headstart.tuning.strategies import OF_WRITING, check_strategy

        strategy = str(options.get("strategy", "full"))
        try:
            if strategy not in OF_WRITING:  # what the labels are shows when they are read
                check_strategy(strategy)
        except ConfigError as error:
            raise spot.error(str(error), "strategy") from error


def about_pipeline(path: Path) -> str:
    """What a pipeline says of itself."""
    return " ".join(str(read_document(path).values.get("about", "")).split())
