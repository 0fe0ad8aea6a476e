"""What was found, as rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import column_of, names_by_code, with_columns
from headstart.cache.layout import LABEL
from headstart.matches import SCORE, Matches

if TYPE_CHECKING:
    from headstart.cache.sets import HeldSamples
    from headstart.heads.neighbours import Neighbours
    from headstart.retrieval.contents import SampleContents
    from headstart.retrieval.queries import Queries


def make_matches(
    among: HeldSamples, found: Neighbours, queries: Queries, contents: SampleContents
) -> Matches:
    """The answers as rows of a table.

    ``found`` has the numbers of samples ``among`` those that were searched.
    """
    there = found.row >= 0
    query, place = np.nonzero(there)
    rows = np.flatnonzero(among.chosen)[found.row[there]]
    labels = {LABEL + name: LABEL + name for name in among.of.label_names}
    if len(labels) == 1:
        labels = {next(iter(labels)): "label"}
    table = among.of.take(rows, ["id", "key", *labels, "split", "origin"])
    contents = contents.of_rows(table.select(["id", "key", "origin"]))
    table = table.rename_columns([labels.get(name, name) for name in table.column_names])
    table = with_columns(
        table,
        {
            "query": names_by_code(query, queries.names),
            "rank": column_of(place + 1),
            SCORE: column_of(found.cosine[there]),
        },
    )
    table = table.select(["query", "rank", "id", *labels.values(), "split", SCORE, "origin"])
    return Matches(table, queries.names, there.sum(axis=1), contents, queries.contents)
