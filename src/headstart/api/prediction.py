"""What a run makes of raw inputs, and the model that it leaves for others."""

import os
from typing import TYPE_CHECKING, Annotated, Any, Union

from headstart.api import shared
from headstart.api.fitting import load_run
from headstart.options import Option, StrPath, public

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.exporting.stage import Exported
    from headstart.prediction.run import Run


@public
def predict(
    run: Annotated[Union["Run", StrPath], Option("A run directory.", metavar="RUN", is_argument=True)],
    data: shared.Data,
    *,
    cache: shared.CacheDir = None,
    quiet: bool = True,
    text_column: shared.TextColumn = None,
    text_pair_column: shared.TextPairColumn = None,
    image_column: shared.ImageColumn = None,
    label_column: shared.LabelColumn = None,
    label_kind: shared.LabelKind = "auto",
    label_separator: shared.LabelSeparator = None,
    label_names: shared.LabelNames = None,
    id_column: shared.IdColumn = None,
    split_column: shared.SplitColumn = None,
    encoding: shared.Encoding = "utf-8",
    streaming: shared.Streaming = None,
    format: shared.Format = "hdf5",
    device: shared.Device = "auto",
    batch_size: shared.BatchSize = None,
    workers: shared.Workers = None,
    offline: shared.Offline = False,
) -> "pa.Table":
    """Predict raw inputs: labels by name and probabilities, through the cache.

    Parameters
    ----------
    run : Run or path
    data : path, or a sequence of texts, pairs of texts, image paths or image bytes
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    pyarrow.Table
        ``id``, ``prediction`` and ``p:<class>``…, a row for each input in order.
    """
    options: dict[str, Any] = locals()
    opened = load_run(run) if isinstance(run, str | os.PathLike) else run
    return opened.predict(**{name: value for name, value in options.items() if name != "run"})


@public
def export(
    run: shared.RunArgument,
    to: Annotated[str, Option("hf (transformers), onnx, or timm.", metavar="FORMAT")],
    out: Annotated[StrPath, Option("The folder to write.", metavar="DIR")],
    *,
    overwrite: shared.Overwrite = False,
    offline: Annotated[bool, Option("Open no socket.")] = False,
    quiet: bool = True,
) -> "Exported":
    """Write backbone and head of a run as one model that others load without headstart."""
    from headstart.exporting.stage import export
    from headstart.network import forbid_network
    from headstart.progress import open_progress

    if offline:
        forbid_network()
    return export(run, to, out, open_progress(quiet), overwrite, offline)
