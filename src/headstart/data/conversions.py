"""Formats that are refused, since reading them runs code or is another library's work, with the line that converts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from headstart.errors import DataError

PICKLES = (".pkl", ".pickle", ".p")
MATLAB = ".mat"
PACKED = {".zip": "unzip", ".rar": "unrar x", ".7z": "7z x"}
_CIFAR = re.compile(r"data_batch_\d+|test_batch|train|test")
_TRUST = "unpickling runs whatever code the file holds, so only do that with a file whose maker you trust"


def check_convertible(path: Path) -> None:
    """Refuse a file of such a format.

    Raises
    ------
    DataError
        With the line to run.
    """
    if path.name.lower().endswith(MATLAB):
        raise DataError(
            f"{path} is of MATLAB; convert it once, and give {_with(path, '.npz')}: {_mat_to_npz(path)}"
        )
    if path.suffix.lower() in PACKED:
        raise DataError(
            f"{path} is packed; unpack it once ({PACKED[path.suffix.lower()]}), and give the folder"
        )
    if path.suffix.lower() == ".npy":
        line = f"import numpy as np; np.savez({_said(_with(path, '.npz'))}, images=np.load({_said(path)}))"
        raise DataError(
            f"{path} is one array; put it into an archive, with its labels as labels=…, and give "
            f"{_with(path, '.npz')}: {_python(line)}"
        )
    if is_pickle(path):
        if _CIFAR.fullmatch(path.name):
            raise _cifar(path.parent)
        raise DataError(
            f"{path} is a pickle, and headstart reads none: {_TRUST}. A table in it becomes one that can be read by: "
            + _python(
                f"import pandas; pandas.DataFrame(pandas.read_pickle({_said(path)})).to_parquet"
                f"({_said(_with(path, '.parquet'))})"
            )
        )


def check_folder(folder: Path, names: Sequence[str], has_classes: bool) -> None:
    """Refuse a folder whose labels, or whose images, lie in files of such formats.

    Raises
    ------
    DataError
        With the line to run.
    """
    batches = [name for name in names if _CIFAR.fullmatch(name) and is_pickle(folder / name)]
    if batches:
        raise _cifar(folder)
    labels = [name for name in names if name.lower().endswith(MATLAB)]
    if labels and not has_classes:
        if "imagelabels.mat" in names and os.path.isdir(folder / "jpg"):
            raise _flowers(folder, "setid.mat" in names)
        check_convertible(folder / labels[0])
    for name in names:
        if not has_classes and name.lower().endswith(PICKLES):
            check_convertible(folder / name)


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, by its ending, or, where it has none, by its first bytes."""
    if path.name.lower().endswith(PICKLES):
        return True
    if path.suffix or not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError:
        return False
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5


def _mat_to_npz(path: Path) -> str:
    # MATLAB stacks images along the last axis, and keeps arrays column by column.
    return _python(
        f"import numpy as np, scipy.io; m = scipy.io.loadmat({_said(path)}); f = lambda v: np.ascontiguousarray("
        f"np.moveaxis(v, -1, 0) if v.ndim == 4 else v.reshape(-1) if 1 in v.shape else v); np.savez("
        f'{_said(_with(path, ".npz"))}, **{{k: f(v) for k, v in m.items() if k[0] != "_"}})'
    )


def _cifar(folder: Path) -> DataError:
    """What to do with the pickled batches of CIFAR-10 or CIFAR-100."""
    if (folder / "train").is_file():
        train, test, key = '["train"]', "test", "fine_labels"
    else:
        train = '[f"data_batch_{i}" for i in range(1, 6)]'
        test, key = "test_batch", "labels"
    line = _python(
        f'import pickle, numpy as np; L = lambda n: pickle.load(open({_said(folder)} + "/" + n, "rb"), '
        f'encoding="bytes"); X = lambda b: b[b"data"].reshape(-1, 3, 32, 32); y = lambda b: b[b"{key}"]; '
        f'T = [L(n) for n in {train}]; E = L("{test}"); np.savez({_said(folder / "cifar.npz")}, '
        "x_train=np.concatenate([X(b) for b in T]), y_train=np.concatenate([y(b) for b in T]), x_test=X(E), "
        "y_test=y(E))"
    )
    return DataError(
        f"{folder} holds pickled batches, and headstart reads no pickles: {_TRUST}. Convert them once, and give "
        f"{folder / 'cifar.npz'}: {line}"
    )


def _flowers(folder: Path, has_splits: bool) -> DataError:
    """What to do with the labels of Flowers-102."""
    load = (
        f"import csv, glob, scipy.io as s; D = {_said(folder)}; "
        'y = s.loadmat(D + "/imagelabels.mat")["labels"].ravel()'
    )
    files = 'f = sorted(glob.glob("jpg/*.jpg", root_dir=D))'
    out = 'csv.writer(open(D + "/metadata.csv", "w", newline="")).writerows'
    if has_splits:
        splits = (
            'w = s.loadmat(D + "/setid.mat"); t = {i: n for k, n in (("trnid", "train"), ("valid", "validation"), '
            '("tstid", "test")) for i in w[k].ravel()}'
        )
        rows = f'{out}([("file_name", "label", "split"), *((f[i - 1], y[i - 1], t[i]) for i in sorted(t))])'
        line = _python("; ".join((load, splits, files, rows)))
    else:
        line = _python("; ".join((load, files, f'{out}([("file_name", "label"), *zip(f, y, strict=True)])')))
    return DataError(
        f"{folder}: the labels of these images are in imagelabels.mat, of MATLAB; write them into a metadata.csv once, "
        f"and give {folder} again: {line}"
    )


def _python(code: str) -> str:
    return f"python -c {quote(code)}"


def _said(path: Path) -> str:
    return json.dumps(str(path))


def _with(path: Path, ending: str) -> Path:
    return path.with_name(os.path.splitext(path.name)[0] + ending)
