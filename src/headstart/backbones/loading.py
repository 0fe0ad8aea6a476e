"""One clear line where a model cannot be had."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from headstart.errors import BackboneError, HeadstartError, WeightsUnavailableError


@contextlib.contextmanager
def loading_failures(spec: str, offline: bool, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises while it loads into a `BackboneError`.

    Parameters
    ----------
    spec : str
        What was to be loaded.
    offline : bool
        Whether the network was forbidden.
    remedy : str
        What the user can do.
    """
    try:
        yield
    except HeadstartError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if offline:
            reason = f"--offline was given, and it is not on this machine ({reason})"
        absent = offline or not isinstance(
            error, RuntimeError | ValueError | TypeError | KeyError | AssertionError
        )
        kind = WeightsUnavailableError if absent else BackboneError
        raise kind(f"{spec} cannot be loaded: {reason}; {remedy}") from error
