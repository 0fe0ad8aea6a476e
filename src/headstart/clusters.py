"""Clusters as people and programs take them: a few lines about each, and a table of which sample is in which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.columns import cell, columns
from headstart.notebook import html_table

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.types import Json

LONGEST_IDS = 60


@dataclass(frozen=True)
class Cluster:
    """A group of samples.

    ``members`` are the ids of the most typical, ``words`` those that mark it; ``label`` is the commonest label, None
    without labels, with the ``share`` of its labelled samples that have it.
    """

    name: str
    size: int
    members: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    label: str | None = None
    share: float | None = None


@dataclass(frozen=True)
class Clusters(Sequence[Cluster]):
    """The clusters of a set, the largest first.

    Parameters
    ----------
    features : FeatureSet
        The set with the column.
    column : str
        The column that says which sample is in which, such as ``meta:cluster``.
    method, said : str
        How they were found, in a word and for people.
    rows : tuple of Cluster
    n_outside : int
        Samples that are in none.
    agreement : mapping
        With labels: ``nmi``, ``ari``, ``purity``, and ``n``, on how many samples; empty without labels.
    tried : sequence of (int, float, float)
        Numbers of clusters that were tried, with their mean silhouettes and the standard errors of these.
    table : pyarrow.Table
        ``id``, ``key``, ``split`` and ``cluster`` of every sample that has the feature.
    notes : tuple of str
    """

    features: Any
    column: str
    method: str
    said: str
    rows: tuple[Cluster, ...]
    table: pa.Table
    n_outside: int = 0
    agreement: Mapping[str, float] = field(default_factory=dict)
    tried: Sequence[tuple[int, float, float]] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    @property
    def as_json(self) -> dict[str, Json]:
        """For machines."""
        return {
            "set": self.features.name,
            "digest": self.features.digest,
            "column": self.column,
            "method": self.method,
            "k": len(self),
            "n_outside": self.n_outside,
            "agreement": dict(self.agreement),
            "tried": [{"k": k, "silhouette": score} for k, score, _ in self.tried],
            "notes": list(self.notes),
            "clusters": [
                {**asdict(row), "members": list(row.members), "words": list(row.words)} for row in self.rows
            ],
        }

    def shown(self) -> tuple[list[str], list[list[Any]]]:
        """A heading, and a row for each; columns that say nothing are left out."""
        header, lines = ["cluster", "size"], [[row.name, row.size] for row in self.rows]
        texts = {
            "label": [_label(row) for row in self.rows],
            "words": [cell(" ".join(row.words), None) for row in self.rows],
            "typical": [cell(", ".join(row.members), LONGEST_IDS) for row in self.rows],
        }
        for name, column in texts.items():
            if any(column):
                header.append(name)
                lines = [[*line, text] for line, text in zip(lines, column, strict=True)]
        return header, lines

    @property
    def lines(self) -> list[str]:
        """What is said of all of them together."""
        found = [self.said]
        if self.agreement:
            figures = ", ".join(f"{title} {self.agreement[name]:.3f}" for name, title in _FIGURES.items())
            found.append(f"against labels, of {self.agreement['n']:,.0f} samples: {figures}")
        return [*found, *self.notes]

    def __repr__(self) -> str:
        return "\n".join([*self.lines, *columns(*self.shown())])

    def _repr_html_(self) -> str:
        return html_table("; ".join(self.lines), *self.shown())


_FIGURES = {"nmi": "NMI", "ari": "ARI", "purity": "purity"}


def _label(row: Cluster) -> str:
    return "" if row.label is None else f"{cell(row.label)} ({row.share:.0%})"
