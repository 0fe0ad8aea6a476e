"""An option is said once: in the signature of a public function, with its type, default, help and panel.

The command line, the configurations, the pipelines and the reference page are made from these signatures.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, Union, get_args, get_origin

from headstart.errors import ConfigError
from headstart.places import expanded
from headstart.trust import trust, trust_named

P = ParamSpec("P")
R = TypeVar("R")

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Option:
    """How a parameter of a public function is said on the command line.

    Parameters
    ----------
    help : str
    panel : str, optional
        The heading that it stands under in the help.
    metavar : str, optional
    flags : str, optional
        Such as ``--quiet -q`` or ``--mapped/--in-memory``; None if they are made from the name.
    is_argument : bool
        Whether it is said by its place, not by its name.
    repeats : bool
        Whether several are given one by one, and not with commas between.
    reads : callable, optional
        Makes the value from what a shell gives (and the name that it was given by), where the type does not say how.
    """

    help: str = ""
    panel: str | None = None
    metavar: str | None = None
    flags: str | None = None
    is_argument: bool = False
    repeats: bool = False
    reads: Callable[[Any, str], Any] | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an option takes."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        bounds = {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        return {**handler(source), **bounds}


Positive = Annotated[int, Range(ge=1)]
Seed = Annotated[int, Range(ge=0, lt=2**32)]
Share = Annotated[float, Range(ge=0, lt=1)]
Rate = Annotated[float, Range(ge=0, lt=1e6)]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a public function; ``type`` is its annotation without the option."""

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    @property
    def kinds(self) -> list[Any]:
        """The types that it may have besides None, without their ranges."""
        return [_bare(kind) for kind in members(self.type) if kind is not type(None)]

    @property
    def item(self) -> Any:
        """The type of its items if it is a sequence; else None."""
        return item_of(self.type)

    @property
    def said(self) -> str:
        """Its name on the command line, for messages."""
        if self.option.is_argument:
            return self.option.metavar or self.name.upper()
        return (self.option.flags or "--" + self.name.replace("_", "-")).split()[0]

    @property
    def least(self) -> float | None:
        """The least number that it takes, if there is one."""
        found = [extra.ge for kind in members(self.type) for extra in getattr(kind, "__metadata__", ())
                 if isinstance(extra, Range)]  # fmt: skip
        return found[0] if found else None

    def read(self, given: Any) -> Any:
        """The value that is meant by what a shell gives.

        Raises
        ------
        ConfigError
            It means none.
        """
        if given is None or given in ((), []):
            return None
        if self.option.reads is not None:
            return self.option.reads(given, self.said)
        if self.item is not None and isinstance(given, str):
            return split(given, self.item, self.said)
        return given


def split(text: str, item: Any = str, said: str | None = None) -> list[Any]:
    """Names or numbers with commas between.

    Raises
    ------
    ConfigError
        There is none, or one is no number.

    Examples
    --------
    >>> split("1, 2", int), split("a,b")
    ([1, 2], ['a', 'b'])
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if item not in (int, float):
        if not parts:
            raise ConfigError(f"{text!r} names nothing; write one or several names, by comma")
        return parts
    try:
        return [item(part) for part in text.split(",")]
    except ValueError:
        numbers = "whole numbers" if item is int else "numbers"
        raise ConfigError(f"{said} takes {numbers} with commas between (got {text!r})") from None


def item_of(kind: Any) -> Any:
    """The type of the items of a list or a sequence, that may be None or one of its items; else None."""
    for member in members(kind):
        if get_origin(member) in (list, Sequence):
            return _bare(get_args(member)[0])
    return None


def members(kind: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _bare(kind: Any) -> Any:
    return kind.__origin__ if get_origin(kind) is Annotated else kind


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a mistyped one most likely means.

    Examples
    --------
    >>> nearest("epocs", ["lr", "epochs"])
    'epochs'
    """
    return next(iter(get_close_matches(name, list(known), 1, 0.6)), None)


SHOWN_NAMES = 5


def did_you_mean(name: str, known: Iterable[str], said: str = "there are", most: int = SHOWN_NAMES) -> str:
    """What follows on a name that is not known: the nearest ones, else a few of those that there are.

    Examples
    --------
    >>> did_you_mean("cloting", ["clothing", "cards"])
    "; did you mean 'clothing'?"
    >>> did_you_mean("size", ["colour", "parity"], "it has")
    '; it has: colour, parity'
    >>> did_you_mean("meta:lens", ["split", "meta:camera", "meta:size"], "it has")
    '; it has: meta:camera, meta:size, split'
    >>> did_you_mean("x", [f"set-{n}" for n in range(60)])
    '; there are: set-0, set-1, set-2, set-3, set-4, … (60 in all)'
    """
    start = name[: name.rfind(":") + 1]  # of meta:camera and meta:lens, say, what stands behind is compared
    names = sorted(dict.fromkeys(map(str, known)), key=lambda each: not each.startswith(start))
    as_written = {each.removeprefix(start).casefold(): each for each in reversed(names)}
    asked = name.removeprefix(start).casefold()
    near = [as_written[each] for each in get_close_matches(asked, list(as_written), 3, 0.6)]
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    more = f", … ({len(names):,} in all)" if len(names) > most else ""
    return f"; {said}: {', '.join(names[:most]) or 'none'}{more}"


def as_field(kind: Any, value: Any) -> Any:
    """A value as a field takes it: one thing stands for a list of one and back, a path for its text.

    Examples
    --------
    >>> as_field(list[str] | None, "last.mean"), as_field(list[str], [0, "all"]), as_field(dict[str, int], None)
    (['last.mean'], ['0', 'all'], {})
    >>> as_field(str | list[str] | None, ["last.mean"])
    'last.mean'
    """
    if value is None and get_origin(kind) in (list, dict):
        return get_origin(kind)()
    takes_text = str in members(kind)
    if Path in members(kind):
        return expanded(value)
    if isinstance(value, os.PathLike) and takes_text:
        return os.fspath(value)
    item = item_of(kind)
    if item is None:
        return value
    if takes_text:
        return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    if isinstance(value, str | int | float):
        value = [value]
    if item is str and isinstance(value, list | tuple):
        return [_as_text(part) for part in value]
    return value


def _as_text(part: Any) -> Any:
    """A name that YAML took for a truth value or a number."""
    if isinstance(part, bool):
        return str(part).lower()
    return str(part) if isinstance(part, int | float) else part


_SIGNATURES: dict[str, inspect.Signature] = {}


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function public: its signature is known here by its name, and a mistyped name is met with the nearest."""
    name = function.__name__
    signature = _SIGNATURES[name] = inspect.signature(function)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        for given in kwargs:
            if given not in signature.parameters:
                near = nearest(given, signature.parameters)
                hint = f"; did you mean {near!r}?" if near else ""
                raise TypeError(f"{name}() got an unexpected keyword argument {given!r}{hint}")
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # which says what is missing
        trust_options(name, bound.arguments)
        known = signature.parameters
        bound.arguments |= {n: _located(known[n], value) for n, value in bound.arguments.items()}
        return function(*bound.args, **bound.kwargs)

    plain = [p.replace(annotation=_split_option(p.annotation)[0]) for p in signature.parameters.values()]
    called.__signature__ = signature.replace(parameters=plain)  # type: ignore[attr-defined]
    called.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_described(name)}"
    return called


def trust_options(function: str, given: Mapping[str, Any]) -> None:
    """Let the code be imported that a user names in options of a public function, ``trust`` among them.

    What data says is no option: it is of any type.
    """
    known = parameters(function)
    if names := given.get("trust"):
        trust(*([names] if isinstance(names, str) else names))
    trust_named([value for name, value in given.items() if name in known and known[name].type is not Any])


def _located(of: inspect.Parameter, value: Any) -> Any:
    """A value of a path, or of several, with the home folder in the place of a ``~``."""
    parameter = Parameter(of.name, _split_option(of.annotation)[0], of.default, Option())
    if any(get_origin(kind) is os.PathLike for kind in parameter.kinds):
        return expanded(value)
    if any(get_origin(_bare(kind)) is os.PathLike for kind in members(parameter.item)):
        return [expanded(one) for one in value] if isinstance(value, list | tuple) else value
    return value


def _signature(function: str) -> inspect.Signature:
    if function not in _SIGNATURES:
        import_module(
            "headstart.api"
        )  # whose functions make themselves known; what stands below them names none
    return _SIGNATURES[function]


def parameters(function: str) -> dict[str, Parameter]:
    """The options of a public function: its parameters, without those that only Python has."""
    known = _signature(function).parameters.items()
    return {
        name: parameter_of(name, p.annotation, p.default) for name, p in known if _is_option(p.annotation)
    }


def parameter_of(name: str, annotation: Any, default: Any) -> Parameter:
    """A parameter whose annotation says what option it is."""
    kind, option = _split_option(annotation)
    assert option is not None
    return Parameter(name, kind, default, option)


def defaults(function: str) -> Mapping[str, Any]:
    """The defaults of a public function's parameters."""
    known = _signature(function).parameters.items()
    return {name: p.default for name, p in known if p.default is not inspect.Parameter.empty}


def about(function: Callable[..., Any]) -> str:
    """The first paragraph of what a public function says of itself."""
    return inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]


def _is_option(annotation: Any) -> bool:
    return _split_option(annotation)[1] is not None


def _split_option(annotation: Any) -> tuple[Any, Option | None]:
    if get_origin(annotation) is not Annotated:
        return annotation, None
    option = next((extra for extra in annotation.__metadata__ if isinstance(extra, Option)), None)
    others = [extra for extra in annotation.__metadata__ if not isinstance(extra, Option)]
    return (Annotated[annotation.__origin__, *others] if others else annotation.__origin__), option


def _described(function: str) -> str:
    lines = [f"{name}\n    {p.option.help}" for name, p in parameters(function).items()]
    return "\n".join(["Other Parameters", "----------------", *lines])
