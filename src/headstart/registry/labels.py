"""Several label columns in one run: what runs of one label are put together to, and taken apart again.

A run of several labels is a run of each of them in one directory. Everything that is asked of "the" label of a run is
asked of one part of it, see `headstart.registry.run.Run.of`.

::

    report.json           metrics.<split>.<label>.<name>; labels.<label>: what else a report of that label alone has
    labels.json           labels: what labels.json says of each label alone, in order
    predictions.parquet   id, key, split, label:<label>, prediction:<label>, p:<label>:<class>; null in the columns of
                          a label that a sample lacks
    model/<number>/       the head of each label, by its place; or model/trunk/, one network for all
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.cache.layout import set_name_from
from headstart.errors import ConfigError, DataError
from headstart.options import did_you_mean
from headstart.types import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.plots import Plot
    from headstart.types import Json

LABELS = "labels"
"""The entry of ``report.json`` and of ``labels.json`` that has a part for each label."""
SAMPLE = ("id", "key", "split", "meta:group", "input", "error")
"""What stands in a row of predictions once, however many labels there are."""
OF_ALL = ("metrics", "seed", "provenance")
"""What a report says once for all labels."""
PROBABILITY = "p:"


def parts_of(labels: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """What ``labels.json`` says of each label, in order; of a run with one label that is all of it."""
    found = labels.get(LABELS, [labels])
    return found if isinstance(found, list) else [labels]


def names_of(labels: Mapping[str, Json]) -> list[str]:
    """The label columns, in order."""
    return [str(part["column"]) for part in parts_of(labels)]


def check_known(label: str, names: Sequence[str]) -> None:
    """Refuse a label that a run does not predict."""
    if label not in names:
        raise ConfigError(f"the run does not predict {label!r}{did_you_mean(label, names, 'it predicts')}")


# -- reports


def joined_reports(reports: Mapping[str, Mapping[str, Json]], more: Mapping[str, Json]) -> dict[str, Json]:
    """One report of those of each label; ``more`` is what is said of all together, such as ``timings``."""
    first = next(iter(reports.values()))
    metrics = {
        split: {label: r["metrics"][split] for label, r in reports.items() if split in r["metrics"]}
        for split in SPLITS
    }
    return {
        "metrics": {split: of_labels for split, of_labels in metrics.items() if of_labels},
        **more,
        "seed": first["seed"],
        LABELS: {
            label: {name: part for name, part in report.items() if name not in OF_ALL}
            for label, report in reports.items()
        },
        "provenance": first["provenance"],
    }


def report_of(report: Mapping[str, Json], label: str) -> dict[str, Json]:
    """What a report of several labels says of one, as a report of it alone."""
    metrics = {split: found[label] for split, found in report["metrics"].items() if label in found}
    once = {name: report[name] for name in OF_ALL if name in report and name != "metrics"}
    return {"metrics": metrics, **report[LABELS][label], **once}


def has_several(report: Mapping[str, Json]) -> bool:
    """Whether a report is of several labels."""
    return isinstance(report, Mapping) and isinstance(report.get(LABELS), Mapping)


def reports_by_label(report: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """The report of each label, by its name; of a run with one label all of it, by an empty name."""
    if not has_several(report):
        return {"": report}
    return {label: report_of(report, label) for label in report[LABELS]}


def titles_of(labels: Sequence[str]) -> dict[str, str]:
    """What each label is called in the name of a file: no two alike, whatever letters case matters for.

    Examples
    --------
    >>> titles_of(["mood", "size: cm", "size, cm"])
    {'mood': 'mood', 'size: cm': 'size-cm-1', 'size, cm': 'size-cm-2'}
    """
    plain = {label: set_name_from(label)[:60] for label in labels}
    alike = Counter(name.casefold() for name in plain.values())
    return {
        label: name if alike[name.casefold()] == 1 else f"{name}-{place}"
        for place, (label, name) in enumerate(plain.items())
    }


def plots_of(plots: Mapping[str, Mapping[str, Plot]], once: Collection[str] = ()) -> dict[str, Plot]:
    """The plots of each label under one name each; those that show no label ``once``, as the first has them."""
    titles, found = titles_of(list(plots)), dict[str, "Plot"]()
    for label, own in plots.items():
        for name, plot in own.items():
            found.setdefault(name if name in once else f"{titles[label]}.{name}", plot)
    return found


# -- predictions


def column_for(label: str, name: str) -> str:
    """What a column of the predictions of one label is called beside those of others.

    Examples
    --------
    >>> column_for("mood", "prediction"), column_for("mood", "p:glad")
    ('prediction:mood', 'p:mood:glad')
    """
    if name.startswith(PROBABILITY):
        return f"{PROBABILITY}{label}:{name.removeprefix(PROBABILITY)}"
    return f"{name}:{label}"


def columns_of(label: str, names: Collection[str], classes: Collection[str]) -> dict[str, str]:
    """Which columns of predictions are of a label, and what they are called in those of it alone.

    Its ``classes`` tell its probabilities from those of a label whose name begins alike.

    Examples
    --------
    >>> columns_of("a", ["id", "prediction:a", "p:a:b:c", "p:a:x"], ["x"])
    {'prediction:a': 'prediction', 'p:a:x': 'p:x'}
    """
    known = {column_for(label, PROBABILITY + name): PROBABILITY + name for name in classes}
    behind = f":{label}"
    found = {}
    for name in names:
        if name in known:
            found[name] = known[name]
        elif name.endswith(behind) and ":" not in name.removesuffix(behind) and name not in SAMPLE:
            found[name] = name.removesuffix(behind)
    return found


def needed_columns(labels: Sequence[str]) -> list[str]:
    """What every table of predictions of several labels has."""
    said = [column_for(label, name) for label in labels for name in ("label", "prediction")]
    return ["id", "key", "split", *said]


def check_columns(labels: Sequence[Mapping[str, Json]]) -> None:
    """Refuse labels whose columns of predictions would have one name: ``a`` with a class ``b:c``, ``a:b`` with ``c``.

    Raises
    ------
    DataError
        There is such a name; the message has it.
    """
    owners: dict[str, str] = {}
    for part in labels:
        label = str(part["column"])
        columns = ["label", "prediction", *(f"{PROBABILITY}{name}" for name in part["classes"])]
        for name in (column_for(label, column) for column in columns):
            other = owners.setdefault(name, label)
            if other != label:
                raise DataError(
                    f"the labels {other!r} and {label!r} would both have a column {name!r} of predictions; rename one "
                    "of them in the data, or fit them one by one"
                )


def joined_predictions(tables: Mapping[str, pa.Table], order: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The predictions of all labels, a row for each sample that has one of them.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        The predictions of each label, for the samples that have it.
    order : pyarrow array of str
        The ids of all samples, in the order of the set; rows are by split first.
    """
    samples = _samples_of(list(tables.values()), order)
    for label, table in tables.items():
        rows = _places(samples, table)
        for name in table.column_names:
            if name not in SAMPLE:
                samples = samples.append_column(column_for(label, name), table.column(name).take(rows))
    return samples


def _samples_of(tables: Sequence[pa.Table], order: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Who the samples are, each once."""
    import numpy as np
    import pyarrow as pa

    from headstart.arrow import codes_by_name, column_of, positions_in

    shared = [name for name in SAMPLE if all(name in table.column_names for table in tables)]
    every = pa.concat_tables([table.select(shared) for table in tables])
    places = positions_in(every.column("id"), order)
    splits = codes_by_name(every.column("split"), SPLITS)
    _, first = np.unique(splits * len(order) + places, return_index=True)
    return every.take(column_of(first.astype(np.int64)))


def _places(samples: pa.Table, table: pa.Table) -> Any:
    """The rows of a table that are of these samples; null where there is none."""
    import numpy as np
    import pyarrow as pa

    from headstart.arrow import positions_in

    found = positions_in(samples.column("id"), table.column("id"))
    return pa.array(np.maximum(found, 0), pa.int64(), mask=found < 0)


def predictions_of(table: pa.Table, part: Mapping[str, Json]) -> pa.Table:
    """The predictions of one label, for the samples that have it, as a run of it alone has them."""
    import pyarrow.compute as pc

    chosen = of_label(table, part)
    return chosen.filter(pc.is_valid(chosen.column("label")))


def of_label(table: pa.Table, part: Mapping[str, Json]) -> pa.Table:
    """What is predicted for one label, of all rows; ``part`` is what ``labels.json`` says of it."""
    label = str(part["column"])
    renamed = columns_of(label, table.column_names, [str(name) for name in part["classes"]])
    wanted = [name for name in table.column_names if name in SAMPLE or name in renamed]
    return table.select(wanted).rename_columns([renamed.get(name, name) for name in wanted])
