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
    PredictConfig,
    TuneConfig,
)
from headstart.errors import ConfigError, HeadstartError
from headstart.options import item_of, members, nearest, split
from headstart.pipelines.document import Document, change, read_document
from headstart.pipelines.shipped import MADE

TOP = ("name", "about", "data", "steps")
STAND_IN = "…"
"""For what is known only once earlier steps have run."""


class DataConfig(ColumnConfig):
    """The data of a pipeline: where it lies, or what makes it, and how it is read."""

    path: str | None = None
    make: str | None = None
    rows: int | None = Field(None, ge=1)


class PredictStep(PredictConfig):
    """Options of predictions."""

    run: str


class ExportStep(Config):
    """Options of an export."""

    run: str
    to: Literal["hf", "onnx", "timm"]
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
        return [name for name in self.config.model_fields if name not in self.left_out]


# A fine-tuning reads its data and makes its inputs as the set does that it trains on.
_OF_THE_SET = frozenset(
    {
        *ColumnConfig.model_fields, "data", "max_length", "image_size", "crop_pct", "prompt", "weights", "split_seed",
        "format",
    }
)  # fmt: skip
VERBS: Mapping[str, Verb] = {
    "extract": Verb(ExtractConfig, frozenset({"cache"})),
    "fit-head": Verb(FitConfig, frozenset({"cache", "digest"}), ("set",)),
    "fine-tune": Verb(TuneConfig, frozenset({"cache", "digest"}) | _OF_THE_SET, ("set",), ("init_head",)),
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
    """Read a pipeline and check all of it, before anything runs.

    Parameters
    ----------
    path : Path
    changes : sequence of str
        ``--set`` options: ``PATH=VALUE``.

    Raises
    ------
    ConfigError
        A name or a value does not belong; the message says where it stands, and which name is near.
    """
    document = read_document(path)
    change(document, changes, list(VERBS))
    values = document.values
    _check_names(document, values, TOP, ())
    name = values.get("name", path.stem)
    if not isinstance(name, str) or not SET_NAME.fullmatch(name):
        raise document.error(f"a name has letters, digits, '.', '_' and '-' (got {name!r})", "name")
    steps = values.get("steps")
    if not isinstance(steps, dict) or not steps:
        raise document.error(
            "there are no steps; write steps: with a name for each and its command below", "steps"
        )
    data = _data(document, values.get("data"), ("data",))
    found: list[Step] = []
    for step_name, said in steps.items():
        found.append(_step(document, str(step_name), said, data, found))
    return Pipeline(name, " ".join(str(values.get("about", "")).split()), tuple(found))


def _step(document: Document, name: str, said: Any, data: DataConfig | None, before: Sequence[Step]) -> Step:
    where = ("steps", name)
    if not SET_NAME.fullmatch(name):
        raise document.error(f"a step's name has letters, digits, '.', '_' and '-' (got {name!r})", *where)
    if name == "data":
        raise document.error(
            "step 'data': its folder is that of data that is made; choose another name", *where
        )
    if not isinstance(said, dict) or len(said) != 1:
        raise document.error(f"step {name!r} needs one command, of {', '.join(VERBS)}", *where)
    verb, given = next(iter(said.items()))
    if verb not in VERBS:
        raise document.error(f"step {name!r}: {_unknown('command', verb, list(VERBS))}", *where, str(verb))
    if given is not None and not isinstance(given, dict):
        raise document.error(f"step {name!r}: {verb} takes options by name (got {given!r})", *where, verb)
    options = _options(document, name, verb, given or {})
    own = _data(document, options.pop("data", None), (*where, verb, "data"))
    if verb in ("extract", "predict"):
        own = own or data
        if own is None:
            raise document.error(
                f"step {name!r} needs data: a folder or a file, as --set data=PATH or data: in the file",
                *where,
            )
        columns = own.model_dump(exclude={"path", "make", "rows"}, exclude_unset=True, exclude_none=True)
        options = {**MADE.get(own.make or "", {}), **columns, **options}
    needs = _needs(document, name, verb, options, before)
    _check_values(document, name, verb, options)
    return Step(name, verb, options, needs, own)


def _options(document: Document, name: str, verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their names with underscores, those without a value left out."""
    kind = VERBS[verb]
    where = ("steps", name, verb)
    _check_names(document, given, kind.names, where, f"step {name!r}: ")
    found: dict[str, Any] = {}
    for written, value in given.items():
        option = written.replace("-", "_")
        if option in found:
            raise document.error(f"step {name!r}: {option!r} is given twice; keep one", *where, written)
        if value is not None:
            found[option] = _value(document, kind.config, (*where, written), option, value)
    return found


def _value(document: Document, config: Any, where: tuple[str, ...], option: str, value: Any) -> Any:
    try:
        return as_written(config, option, value)
    except HeadstartError as error:
        raise document.error(str(error), *where) from error


def _check_names(
    document: Document,
    given: Mapping[str, Any],
    known: Sequence[str],
    where: tuple[str, ...],
    before: str = "",
) -> None:
    for name in given:
        if str(name).replace("-", "_") not in known:
            raise document.error(before + _unknown("option", str(name), known), *where, str(name))


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    near = nearest(name.replace("-", "_") if what == "option" else name, known)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
    return f"there is no {what} {name!r}; {hint}"


def _data(document: Document, said: Any, where: tuple[str, ...]) -> DataConfig | None:
    """The data that is meant, checked as far as it can be before it is there."""
    if said is None:
        return None
    if not isinstance(said, dict):
        said = {"path": str(said)}
    _check_names(document, said, list(DataConfig.model_fields), where)
    values = {name.replace("-", "_"): value for name, value in said.items() if value is not None}
    written = {name: as_written(DataConfig, name, value) for name, value in values.items()}
    try:
        data = DataConfig(**written)
    except ConfigError as error:
        raise document.error(f"data: {error}", *where) from error
    if data.path is None and data.make is None:
        return None
    if data.path is not None and data.make is not None:
        raise document.error("data has a path or is made, not both", *where)
    if data.make is None and data.rows is not None:
        raise document.error(
            "rows is for data that is made; give fewer rows in the data itself", *where, "rows"
        )
    if data.make is not None and data.make not in MADE:
        near = nearest(data.make, list(MADE))
        hint = f"; did you mean {near}?" if near else ""
        there = ", ".join(MADE)
        raise document.error(
            f"nothing is called {data.make!r} that could be made; there are {there}{hint}", *where, "make"
        )
    return data


def _needs(
    document: Document, name: str, verb: str, options: dict[str, Any], before: Sequence[Step]
) -> tuple[str, ...]:
    """The earlier steps that a step hangs on; where they are plain they need not be said."""
    kind, where = VERBS[verb], ("steps", name, verb)
    sets = [step.name for step in before if step.verb == "extract"]
    runs = [step.name for step in before if step.verb in LEAVES_A_RUN]
    if "set" in kind.sets and "set" not in options and verb != "compare":
        if not sets:
            raise document.error(f"step {name!r} needs features: put an extract step before it", *where)
        options["set"] = sets[-1]
    if verb == "compare" and not options.get("runs"):
        options["runs"] = runs
    needs: list[str] = []
    for option, known, what in (*((o, sets, "an extract step") for o in kind.sets),
                                *((o, runs, "a step that leaves a run") for o in kind.runs)):  # fmt: skip
        said = options.get(option, [])
        for one in said if isinstance(said, list) else [said]:
            if one not in known:
                near = nearest(str(one), known)
                hint = f"did you mean {near}?" if near else f"there are {', '.join(known) or 'none'}"
                raise document.error(
                    f"step {name!r}: {option} names {what} before it, and {one!r} is none; {hint}",
                    *where,
                    option,
                )
            needs.append(str(one))
    if verb == "compare" and len(options["runs"]) < 2:
        raise document.error(f"step {name!r}: compare takes two runs or more", *where)
    if verb in ("predict", "export") and "run" not in options:
        raise document.error(f"step {name!r}: say which run, of {', '.join(runs) or 'none'}", *where)
    return tuple(dict.fromkeys(needs))


def _check_values(document: Document, name: str, verb: str, options: Mapping[str, Any]) -> None:
    """Make the configuration once with stand-ins, so that a mistake shows now and not after an hour."""
    kind = VERBS[verb]
    needed = {"data": STAND_IN} if verb in ("extract", "fine-tune", "predict") else {}
    try:
        kind.config(**{**needed, **options})
    except ConfigError as error:
        option = str(error).partition(":")[0].partition(".")[0].replace("-", "_")
        written = next(
            (said for said in (option, option.replace("_", "-"))
             if ("steps", name, verb, said) in document.places), option,
        )  # fmt: skip
        raise document.error(f"step {name!r}: {error}", "steps", name, verb, written) from error
    if verb == "fine-tune":
        from headstart.tuning.strategies import check_strategy

        try:
            check_strategy(str(options.get("strategy", "full")))
        except ConfigError as error:
            raise document.error(f"step {name!r}: {error}", "steps", name, verb, "strategy") from error


def about_pipeline(path: Path) -> str:
    """What a pipeline says of itself."""
    return " ".join(str(read_document(path).values.get("about", "")).split())
