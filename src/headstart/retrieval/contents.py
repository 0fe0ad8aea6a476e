"""What is shown of samples and of queries: pictures and texts, read again from where they lie when they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.cache.imported import SCHEME
from headstart.data.shown import text_of
from headstart.errors import ConfigError, HeadstartError
from headstart.progress import Silence

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.types import Payload


@dataclass(frozen=True)
class SampleContents:
    """The contents of some samples of a set, by their number; of a set that was imported nothing is known."""

    features: FeatureSet
    data: Any = None
    progress: Progress = field(default_factory=Silence)
    table: pa.Table | None = None
    _read: dict[str, list[Payload | None]] = field(default_factory=dict)

    def of_rows(self, table: pa.Table) -> SampleContents:
        """Of the samples of a table with their ``id``, ``key`` and ``origin``."""
        return SampleContents(self.features, self.data, self.progress, table)

    def only(self, part: slice) -> SampleContents:
        """Of some of these samples."""
        assert self.table is not None
        read = {name: payloads[part] for name, payloads in self._read.items()}
        table = self.table.slice(part.start, part.stop - part.start)
        return SampleContents(self.features, self.data, self.progress, table, read)

    def payloads(self) -> list[Payload | None]:
        """What each sample is made of; None of one that cannot be read.

        Raises
        ------
        ConfigError, DataError, MismatchError
            The data of the set is not there any more, or has changed, or nobody knows where it was.
        """
        if "payloads" not in self._read:
            self._read["payloads"] = self._read_again()
        return self._read["payloads"]

    def texts(self) -> list[str]:
        """The text of each; of a picture its file, or its row of a table."""
        assert self.table is not None
        origins: list[str] = self.table.column("origin").to_pylist()
        if self.features.info["source"].get("modality") == "image":
            return origins
        found = zip(map(text_of, self.payloads()), origins, strict=True)
        return [text or origin for text, origin in found]

    def _read_again(self) -> list[Payload | None]:
        assert self.table is not None
        if not self.table.num_rows:
            return []
        if self.data is None and all(ref.backbone.startswith(SCHEME) for ref in self.features.features):
            raise ConfigError(
                f"the features of set {self.features.name!r} were imported, and nothing is known of its data; say "
                "where it is with --data"
            )
        from headstart.extraction.read_again import read_again  # much, for whoever shows nothing

        raw = read_again(self.features, self.data, self.progress)
        content = raw.payloads(self.table)
        return [_or_none(content, row) for row in range(self.table.num_rows)]


def _or_none(content: Callable[[int], Any], row: int) -> Any:
    try:
        return content(row)
    except (HeadstartError, OSError):
        return None


@dataclass(frozen=True)
class QueryContents:
    """The pictures of queries that are pictures; the others are known by their names."""

    read: Callable[[int], Any] | None = None
    numbers: Sequence[int] = ()

    def only(self, number: int) -> QueryContents:
        """Of one of the queries."""
        return QueryContents(self.read, self.numbers[number : number + 1])

    def image(self, number: int) -> bytes | None:
        """The file of a query that is a picture."""
        content = None if self.read is None else _or_none(self.read, self.numbers[number])
        return content if isinstance(content, bytes) else None
