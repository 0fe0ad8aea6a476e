"""What every command does around its work: clear errors, exit codes, signals."""

from __future__ import annotations

import errno
import functools
import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from headstart.errors import HeadstartError, Interrupted

P = ParamSpec("P")


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C: what is finished is committed first."""


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors into one clear line and the exit code that the design gives them."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        signal.signal(signal.SIGTERM, _terminate)
        if kwargs.get("quiet"):
            for library in ("HF_HUB", "HF_DATASETS"):
                os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")
        try:
            command(*args, **kwargs)
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

    return wrapper


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
