"""A command is made from the signature of a public function, and of what only a shell needs: exit codes, signals."""

from __future__ import annotations

import dataclasses
import errno
import functools
import inspect
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, ParamSpec, TypeVar, get_origin

import typer

from headstart.api import shared
from headstart.errors import ConfigError, HeadstartError, Interrupted
from headstart.options import Parameter, about, members, parameter_of, parameters, trust_options
from headstart.places import expanded

if TYPE_CHECKING:
    from headstart.config import Config

C = TypeVar("C", bound="Config")
P = ParamSpec("P")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Repeat a run; other options change it.")
]


@dataclass(frozen=True)
class Said:
    """What a command was told: values as Python takes them, and the names that stand on the command line."""

    values: Mapping[str, Any]
    typed: Collection[str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def config(self, kind: type[C], file: Path | None = None, **names: str) -> C:
        """The configuration that is meant: of the options alone, or of a file with what was typed beside it.

        ``names`` says what an option is called in the configuration, where it is not its own name.
        """
        values = {names.get(name, name): value for name, value in self.values.items()}
        if file is None:
            return kind.of(values)
        typed = {names.get(name, name) for name in self.typed} & set(kind.model_fields)
        return kind.load(file, {name: values[name] for name in typed})


def made_from(
    function: Callable[..., Any],
    optional: Collection[str] = (),
    without: Collection[str] = (),
    instead: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command that takes the options of a public function, and then those of its own.

    Parameters
    ----------
    function : callable
    optional : collection of str
        What the function needs, and the command does not.
    without : collection of str
        What the command does not take.
    instead : mapping, optional
        Annotations of options that the command takes otherwise.
    """
    known = {name: p for name, p in parameters(function.__name__).items() if name not in without}
    for name, annotation in (instead or {}).items():
        known[name] = parameter_of(name, annotation, known[name].default)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()

        @functools.wraps(command)
        def called(context: typer.Context, **given: Any) -> None:
            values = {name: p.read(given[name]) for name, p in known.items()}
            trust_options(function.__name__, values)
            typed = {name for name in known if _is_typed(context, name)}
            command(Said(values, typed), **{p.name: given[p.name] for p in own})

        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        shell = [in_shell(p, name in optional) for name, p in known.items()]
        keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        called.__signature__ = inspect.Signature([context, *shell, *keywords])  # type: ignore[attr-defined]
        called.__doc__ = command.__doc__ or about(function)
        return guarded(called)

    return decorate


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def in_shell(parameter: Parameter, is_optional: bool = False) -> inspect.Parameter:
    """A parameter as typer takes it."""
    kind: Any = _shell_type(parameter)
    default = parameter.default
    if parameter.is_required and is_optional:
        default = None
    if default is None:
        kind = Optional[kind]  # noqa: UP045 - a type that is made here
    annotation = Annotated[kind, _told(parameter)]
    return inspect.Parameter(
        parameter.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def alone(name: str, annotation: Any, default: Any) -> Any:
    """The annotation that typer takes for a shared option of a command which no public function has."""
    parameter = parameter_of(name, annotation, default)
    shell = in_shell(parameter).annotation

    def read(value: Any) -> Any:
        try:
            return parameter.read(value)
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error

    shell.__metadata__[0].callback = read
    return shell


def _told(parameter: Parameter) -> Any:
    option, least = parameter.option, parameter.least
    if option.is_argument:
        return typer.Argument(metavar=option.metavar, help=option.help)
    limits: dict[str, Any] = {} if least is None or parameter.item else {"min": least}
    return typer.Option(
        *_flags(parameter),
        metavar=option.metavar,
        help=option.help,
        rich_help_panel=option.panel,
        **limits,
    )


def _flags(parameter: Parameter) -> list[str]:
    if parameter.option.flags:
        return parameter.option.flags.split()
    said = parameter.said
    has_no = bool in parameter.kinds and parameter.default is not False
    return [f"{said}/--no-{said[2:]}" if has_no else said]


def _shell_type(parameter: Parameter) -> Any:
    if parameter.option.reads is not None and not parameter.option.repeats:
        return str  # as it was written: an empty one is a path, and the current folder
    is_mapping = any(get_origin(kind) is Mapping for kind in parameter.kinds)
    if parameter.item is None and not is_mapping:
        return _one(parameter.kinds)
    if not parameter.option.repeats:
        return str
    return list[str] if is_mapping else list[_one(members(parameter.item))]  # type: ignore[misc]


def _one(kinds: Collection[Any]) -> Any:
    if any(get_origin(kind) is os.PathLike for kind in kinds):
        return Path
    if any(get_origin(kind) is Literal for kind in kinds):
        return next(iter(kinds))
    return next((kind for kind in (bool, float, int) if kind in kinds and str not in kinds), str)


Cache = alone("cache", shared.CacheDir, None)
Overwrite = alone("overwrite", shared.Overwrite, False)
Trust = alone("trust", shared.Trust, None)


def write_result(value: Any, as_json: bool, lines: Callable[[], Iterable[str]]) -> None:
    """Write a result to stdout: for machines, or the lines that people read."""
    if as_json:
        write_json(value)
        return
    for line in lines():
        typer.echo(line)


def write_json(value: Any, indent: int | None = None) -> None:
    """Write a result to stdout for machines: JSON, a dataclass as an object."""

    def plain(part: Any) -> Any:
        return dataclasses.asdict(part) if dataclasses.is_dataclass(part) else str(part)  # type: ignore[arg-type]

    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False, default=plain))


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C: what is finished is committed first."""


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors into one clear line and the exit code that the design gives them; each command has ``--verbose``."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        kwargs.pop("verbose", None)  # `fail` looks for it where a mistake in the options is met, too
        signal.signal(signal.SIGTERM, _terminate)
        if kwargs.get("quiet"):
            for library in ("HF_HUB", "HF_DATASETS"):
                os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")
        try:
            command(*args, **{name: _located(value) for name, value in kwargs.items()})
        except typer.Exit:
            raise
        except KeyboardInterrupt as error:
            number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
            fail(
                Interrupted(f"interrupted; what was finished is kept. Resume with: {this_command()}", number)
            )
        except HeadstartError as error:
            fail(error)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has left; there is nobody to tell
            raise typer.Exit(0) from None
        except (MemoryError, OSError) as error:
            fail(HeadstartError(_explain(error)))
        except Exception as error:
            text = f"unexpected {type(error).__name__}: {error}"
            fail(HeadstartError(f"{text}; this is a bug in headstart: --verbose shows where"))

    own = inspect.signature(command, eval_str=True).parameters.values()
    verbose = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verbose)
    wrapper.__signature__ = inspect.Signature([*own, verbose])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {}
    return wrapper


def _located(value: Any) -> Any:
    """A path as the user means it; see `headstart.places.expanded`."""
    if isinstance(value, list):
        return [_located(one) for one in value]
    return expanded(value) if isinstance(value, Path) else value


def fail(error: HeadstartError) -> None:
    """Write an error and leave with its exit code; the traceback only under ``--verbose``."""
    prefix = "" if isinstance(error, Interrupted) else "error: "
    print(f"{prefix}{error}", file=sys.stderr)
    if "--verbose" in sys.argv:
        import traceback

        traceback.print_exc()
    raise typer.Exit(error.exit_code)


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


def this_command() -> str:
    """The command that goes on: as it was given, and of one that keeps its state only if asked, with ``--resume``."""
    words = ["headstart", *(word for word in sys.argv[1:] if word != "--overwrite" or not _is_resumed())]
    return shlex.join([*words, "--resume"] if _is_resumed() and "--resume" not in words else words)


def _is_resumed() -> bool:
    return sys.argv[1:2] == ["fine-tune"]


def _explain(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "out of memory; extract takes a smaller --batch-size, fit-head leaves features on disk with --mapped"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = "write " + str(error.filename) if error.filename else "write the result"
        return f"no space left to {where}; what was committed is kept"
    if isinstance(error, PermissionError):
        return f"no permission: {error.filename}"
    return str(error)
