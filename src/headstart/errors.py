"""Everything that headstart raises on purpose.

::

    HeadstartError               exit code 1: it failed
    ├── ConfigError              2: wrong usage or configuration
    │   ├── TrustError           a file of somebody else names code, and nobody said that it is trusted
    │   └── DivergedError        a training left the numbers: its learning rate is too large
    ├── DataError                1: the data cannot be read, or there is none
    ├── BackboneError            1: the model cannot be had, or gives no usable numbers
    │   ├── WeightsUnavailableError  the weights are not here and cannot be fetched
    │   ├── NoBlocksError        what leaves its blocks cannot be read
    │   └── SampleError          (internal) one sample is bad; it is skipped by name
    │       └── TransientSampleError  (internal) it may be good later
    ├── StorageError             1: the cache cannot be written or read
    │   ├── CorruptShardError    1: a file is not what its name says
    │   └── FormatError          1: the cache is of a format this version does not know
    ├── MissingDependencyError   1: an optional library is not installed
    ├── MismatchError            4: cache and data, or run and data, do not match
    ├── SkippedError             3: done, but samples were skipped, under ``--strict``
    └── Interrupted              130 or 143: stopped by a signal

A message says what is wrong, with its value and place, and then what to do.
"""

from __future__ import annotations


class HeadstartError(Exception):
    """The base of all errors that headstart raises on purpose."""

    exit_code = 1


class ConfigError(HeadstartError):
    """The command, an option or a configuration value is wrong."""

    exit_code = 2


class TrustError(ConfigError):
    """Code that a run, a cache or a pipeline of somebody else names was not imported: nobody said to trust it."""


class DivergedError(ConfigError):
    """A training ended in no number at all: its learning rate is too large."""


class DataError(HeadstartError):
    """The data cannot be read as what it is taken for."""


class BackboneError(HeadstartError):
    """The backbone cannot be loaded, or what it computes cannot be used."""


class WeightsUnavailableError(BackboneError):
    """The weights are not on this machine, and cannot be fetched; what the cache holds still serves."""


class NoBlocksError(BackboneError):
    """The blocks of a network cannot be told apart, or what leaves them is no positions."""


class SampleError(BackboneError):
    """One sample cannot be used; the extraction names it, skips it and goes on."""


class TransientSampleError(SampleError):
    """A sample that cannot be used now, and may be later."""


class StorageError(HeadstartError):
    """The cache, or a run directory, cannot be written or read."""


class CorruptShardError(StorageError):
    """A committed file does not hold what its name and its digest say."""


class FormatError(StorageError):
    """The cache was written in a format that this version does not know."""


class MissingDependencyError(HeadstartError):
    """An optional library is needed and not installed."""

    def __init__(self, library: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed; "
            f"install it with: pip install 'headstart[{extra}]'"
        )


class MismatchError(HeadstartError):
    """What is in the cache, or in a run, does not belong to this data."""

    exit_code = 4


class SkippedError(HeadstartError):
    """All that could be done is done and kept, but samples were skipped."""

    exit_code = 3


class Interrupted(HeadstartError):
    """A signal stopped the work; what was committed is kept.

    Parameters
    ----------
    message : str
        What to tell the user: what is kept, and the command that resumes.
    signal_number : int
        The signal: 2 for SIGINT, 15 for SIGTERM. The exit code is 128 more.
    """

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def first_line(error: BaseException) -> str:
    """What an error of a library says, in a line; its name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def remade(kind: str, text: str) -> HeadstartError:
    """An error that another process raised, by the name of its class and its message."""
    found = globals().get(kind, HeadstartError)
    made: type[HeadstartError] = found if isinstance(found, type) else HeadstartError
    error = made.__new__(made)  # some are made from other things than their text
    Exception.__init__(error, text)
    return error
