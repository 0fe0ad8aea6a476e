"""What samples are made of, texts and images, and their keys, without reading a file that this machine has met before.

A file is known by its fingerprint: BLAKE2b-128 of device, inode, size, mtime and ctime. Whatever
changes its content changes its ctime, so a known fingerprint means a known key.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart import keys
from headstart.data.named_files import (
    CTIME,
    MTIME,
    SIZE,
    bytes_at,
    joined,
    leads_out,
    read_image,
    shown_path,
    stat_files,
    unreadable,
)
from headstart.data.source import Problem
from headstart.errors import SampleError
from headstart.files import CLOCK_TICK_NS
from headstart.remote.addresses import misaddressed
from headstart.remote.in_flight import AT_ONCE
from headstart.remote.paths import RemotePath

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo

    Keyed = tuple[NDArray[np.uint8], dict[int, Problem]]
    """Keys, shape (N, 16), and the problems of rows that have none."""
    Cell = tuple[bytes | None, str | None]
    """The bytes of an image; where they are None, the path of its file."""

IMAGE_SUFFIXES = frozenset(
    (
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".png",
            ".apng",
            ".bmp",
            ".dib",
            ".gif",
            ".webp",
            ".tif",
            ".tiff",
        ),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".heic", ".heif", ".hif", ".mpo"),
        *(
            ".jp2",
            ".j2k",
            ".jpc",
            ".jpf",
            ".jpx",
            ".j2c",
            ".tga",
            ".icb",
            ".vda",
            ".vst",
            ".ico",
            ".icns",
            ".cur",
        ),
        *(
            ".pcx",
            ".dcx",
            ".dds",
            ".blp",
            ".qoi",
            ".psd",
            ".sgi",
            ".rgb",
            ".rgba",
            ".bw",
            ".ras",
            ".xbm",
            ".xpm",
        ),
        *(".im", ".msp", ".pcd", ".pxr", ".fli", ".flc", ".ftc", ".ftu", ".gbr", ".fit", ".fits"),
    )
)
"""Endings of pictures that Pillow decodes by itself, and of HEIF, for which an extra teaches it."""

READERS = 8
"""Threads that read and hash unknown files: enough to hide the latency of a disk, and no more
files in memory than that."""

EMPTY_FILE = Problem("empty file")
EMPTY_TEXT = Problem("the text is empty")
SURROGATE = Problem("the text holds half of a surrogate pair, which no UTF-8 can write")
NO_PATH = Problem("the image path is empty")
NO_IMAGE = Problem("the image is empty: there are no bytes, and no path")
OUTSIDE = "leads out of the folder of the metadata; name images below it"


class ScanMemo:
    """The memo of keys during one scan: what changed shortly before it is not remembered."""

    def __init__(self, memo: KeyMemo) -> None:
        self._memo = memo
        self._began_ns = time.time_ns()

    def is_old(self, changed_ns: int) -> bool:
        """Whether what was last changed at a time may be remembered."""
        return is_old(changed_ns, self._began_ns)

    def keys(
        self,
        n: int,
        prints: NDArray[np.uint8] | None,
        problems: dict[int, Problem],
        changed_ns: int | NDArray[np.int64],
        compute: Callable[[list[int]], Iterable[bytes | Problem | None]],
    ) -> NDArray[np.uint8]:
        """Keys of n rows, shape (n, 16); zeros where there is a problem.

        Parameters
        ----------
        n : int
        prints : ndarray of uint8, shape (n, 16), optional
            What the rows are known by; None: nothing is remembered of them.
        problems : dict of int to Problem
            Rows to leave alone; what cannot be used is added to it.
        changed_ns : int, or ndarray of int64, shape (n,)
            When what holds them changed.
        compute : callable
            Takes unknown rows, and gives the key of each or its problem; None if somebody else sees to it.
        """
        found, known = np.zeros((n, keys.KEY_BYTES), dtype=np.uint8), np.zeros(n, dtype=bool)
        if prints is not None:
            looked_up, known = self._memo.lookup(prints)
            found[known] = looked_up[known]
        found[list(problems)] = 0
        unknown = [row for row in np.flatnonzero(~known).tolist() if row not in problems]
        computed = []
        for row, key in zip(unknown, compute(unknown) if unknown else (), strict=True):
            if isinstance(key, Problem):
                problems[row] = key
            elif key is not None:
                found[row] = np.frombuffer(key, dtype=np.uint8)
                computed.append(row)
        changed = np.broadcast_to(changed_ns, n)
        old = [row for row in computed if self.is_old(int(changed[row]))]
        if old and prints is not None:
            self._memo.remember(prints[old], found[old])
        return found


def is_old(changed_ns: int, began_ns: int) -> bool:
    """Whether what was last changed at a time may be remembered by a scan that began later.

    Clocks of file servers differ, so a time in the future counts as young as well.
    """
    return began_ns - changed_ns >= CLOCK_TICK_NS


def is_image(name: str) -> bool:
    """Whether a file's ending says that it is an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_blank(text: str | None) -> bool:
    """Whether there is nothing to read in a text."""
    return not text or text.isspace()


def text_problems(texts: Sequence[str | None]) -> dict[int, Problem]:
    """The texts that are not usable, by place.

    Examples
    --------
    >>> text_problems(["fine", " "])
    {1: Problem(reason='the text is empty', kind='permanent')}
    """
    return key_texts(texts)[1]


def key_texts(texts: Sequence[str | None]) -> Keyed:
    """Keys of texts, shape (N, 16); rows without a usable text have a problem and a key of zeros."""
    problems: dict[int, Problem] = {}
    digests = [bytes(keys.KEY_BYTES)] * len(texts)
    key_of = keys.text_keys()
    for row, text in enumerate(texts):  # of millions: no call but those that it takes
        if not text or text.isspace():
            problems[row] = EMPTY_TEXT
            continue
        try:
            digests[row] = key_of(text)
        except UnicodeEncodeError:
            problems[row] = SURROGATE
    return keys.pack(digests), problems


def key_pairs(pairs: Sequence[tuple[str | None, str | None]]) -> Keyed:
    """Keys of pairs of texts, shape (N, 16), as `key_texts`."""

    def problem(pair: tuple[str | None, str | None]) -> Problem | None:
        for which, text in zip(("first", "second"), pair, strict=True):
            if is_blank(text):
                return Problem(f"the {which} text of the pair is empty")
        return None

    return _keyed("text-pair", pairs, problem)


def _keyed(modality: Any, payloads: Sequence[Any], problem: Callable[[Any], Problem | None]) -> Keyed:
    problems: dict[int, Problem] = {}
    digests = [bytes(keys.KEY_BYTES)] * len(payloads)
    for row, payload in enumerate(payloads):
        if found := problem(payload):
            problems[row] = found
            continue
        try:
            digests[row] = keys.key_of(modality, payload)
        except UnicodeEncodeError:
            problems[row] = SURROGATE
    return keys.pack(digests), problems


def key_of_image(content: bytes, text: str | None = None) -> bytes:
    """The key of an image, or of a pair of image and text."""
    return keys.key_of("image", content) if text is None else keys.key_of("image-text", (content, text))


def key_rows(
    rows: range, texts: Sequence[Sequence[str | None]], images: Images | None, memo: ScanMemo
) -> Keyed:
    """Keys of rows that are made of one or two columns of texts, of images, or of images and texts."""
    if images is None:
        return key_texts(texts[0]) if len(texts) == 1 else key_pairs(list(zip(*texts, strict=True)))
    if not texts:
        return images.keys(rows, memo)
    troubles = text_problems(texts[0])
    sound = ["" if row in troubles else str(text) for row, text in enumerate(texts[0])]
    found, problems = images.keys(rows, memo, sound)
    return found, problems | troubles


def payload_of(texts: Sequence[str], image: bytes | None) -> Any:
    """The payload of such a row."""
    parts = texts if image is None else (image, *texts)
    return parts[0] if len(parts) == 1 else tuple(parts)


class Images:
    """The images of consecutive rows, counted from 0: bytes, or named by the paths of their files.

    ``kind`` says what they are, for the user. Paths are relative to a folder; what they name is remembered as files: a
    table may stay as it is while they change. Bytes are known by ``identity`` and row (None: they are not
    remembered), and changed when what holds them did.
    """

    kind = "image paths"
    folder: str | os.PathLike[str] = ""
    identity: bytes | None = None
    changed_ns = 0
    rows_per_block: int | None = None
    empty = NO_IMAGE

    def cells(self, rows: Sequence[int]) -> Iterator[Cell]:
        """What there is of some rows, in rising order."""
        raise NotImplementedError

    def share(self, other: Images | None) -> None:
        """Share with the images of another file what both keep in memory."""

    def keys(self, rows: range, memo: ScanMemo, texts: Sequence[str] | None = None) -> Keyed:
        """Keys of the images of rows, or of their pairs with texts; and which have none, by place."""
        in_files: dict[int, str] = {}

        def compute(places: list[int]) -> Iterator[bytes | Problem | None]:
            for place, (content, path) in zip(
                places, self.cells([rows[place] for place in places]), strict=True
            ):
                if content is None and path:
                    in_files[place] = path
                    yield None
                else:
                    text = None if texts is None else texts[place]
                    yield key_of_image(content, text) if content else self.empty

        problems: dict[int, Problem] = {}
        found = memo.keys(len(rows), self._prints(rows, texts), problems, self.changed_ns, compute)
        if in_files:
            places = list(in_files)
            chosen = None if texts is None else [texts[place] for place in places]
            found[places], troubles = self._key_files(list(in_files.values()), memo, chosen)
            problems |= {places[number]: problem for number, problem in troubles.items()}
        return found, problems

    def elsewhere(self, row: int) -> RemotePath | None:
        """Where the image of a row lies, if it is a file that is not on this machine."""
        ((content, path),) = self.cells([row])
        place = joined(self.folder, path) if content is None and path else None
        return place if isinstance(place, RemotePath) else None

    def read(self, row: int) -> bytes:
        """The bytes of the image of a row.

        Raises
        ------
        SampleError
            It cannot be read any more.
        """
        ((content, path),) = self.cells([row])
        if content is None and path:
            return read_image(joined(self.folder, path), shown_path(path))
        return content or b""

    def _key_files(self, paths: list[str], memo: ScanMemo, texts: Sequence[str] | None) -> Keyed:
        """Keys of image files; problems name them."""
        odd = {row: reason for row, path in enumerate(paths) if (reason := misaddressed(path))}
        places = ["" if row in odd else joined(self.folder, path) for row, path in enumerate(paths)]
        found, problems = key_paths(places, memo, texts)
        problems |= {row: Problem(reason) for row, reason in odd.items()}
        return found, {
            row: Problem(f"{shown_path(paths[row])}: {reason}", kind)
            for row, (reason, kind) in problems.items()
        }

    def _prints(self, rows: range, texts: Sequence[str] | None) -> NDArray[np.uint8] | None:
        """What rows are known by."""
        if self.identity is None:
            return None
        start = self.identity
        prints = keys.pack(_digest(start + row.to_bytes(8, "little")) for row in rows)
        return prints if texts is None else pair_prints(prints, texts)


class ImagesByPath(Images):
    """Images named by their paths, relative to a folder or absolute; ``inside``: none may lead out of the folder."""

    empty = NO_PATH

    def __init__(self, paths: Any, folder: os.PathLike[str], inside: bool = False) -> None:
        self._paths = paths
        self.folder = folder
        self._inside = inside

    def cells(self, rows: Sequence[int]) -> Iterator[Cell]:
        """The paths."""
        start = rows[0]
        paths = self._paths.slice(start, rows[-1] + 1 - start).to_pylist()
        return ((None, paths[row - start]) for row in rows)

    def _key_files(self, paths: list[str], memo: ScanMemo, texts: Sequence[str] | None) -> Keyed:
        outside = {row for row, path in enumerate(paths) if self._inside and leads_out(path)}
        allowed = ["" if row in outside else path for row, path in enumerate(paths)]
        found, problems = super()._key_files(allowed, memo, texts)
        return found, problems | {row: Problem(f"{shown_path(paths[row])} {OUTSIDE}") for row in outside}


def key_paths(paths: Sequence[str | RemotePath], memo: ScanMemo, texts: Sequence[str] | None = None) -> Keyed:
    """Keys of image files, or of their pairs with texts."""
    stats, problems = stat_files(paths)
    return key_files(paths, stats, problems, memo, texts), problems


def key_files(
    paths: Sequence[str | RemotePath],
    stats: NDArray[np.int64],
    problems: dict[int, Problem],
    memo: ScanMemo,
    texts: Sequence[str] | None = None,
    codec: str | None = None,
) -> NDArray[np.uint8]:
    """Keys of image files, or of text files, shape (N, 16); zeros where there is a problem.

    Parameters
    ----------
    paths : sequence of str, length N
    stats : ndarray of int64, shape (N, 5)
        Stat fields, taken earlier than this call: a file that changes in between is read as it
        is now, and what the memo then holds under the old fingerprint is never asked for again.
    problems : dict of int to Problem
        Rows to leave alone; empty and unreadable files are added to it.
    memo : ScanMemo
    texts : sequence of str, length N, optional
        The other halves of pairs of image and text: the keys are those of the pairs.
    codec : str, optional
        The files hold texts, so written.
    """
    for row in np.flatnonzero(stats[:, SIZE] == 0).tolist():
        problems.setdefault(row, EMPTY_FILE)

    def read(rows: list[int]) -> list[bytes | Problem]:
        most = AT_ONCE if isinstance(paths[rows[0]], RemotePath) else READERS
        with ThreadPoolExecutor(min(most, len(rows))) as pool:
            chosen = [None] * len(rows) if texts is None else [texts[row] for row in rows]
            return list(pool.map(partial(_read_key, codec=codec), [paths[row] for row in rows], chosen))

    # The text in a file depends on how it is decoded, so that belongs to what it is known by.
    salt = b"" if codec is None else f"text in {codec}:".encode("ascii")
    prints = keys.pack(_digest(salt + fields.tobytes()) for fields in stats.astype("<i8"))
    prints = prints if texts is None else pair_prints(prints, texts)
    return memo.keys(len(paths), prints, problems, np.maximum(stats[:, MTIME], stats[:, CTIME]), read)


def pair_prints(prints: NDArray[np.uint8], texts: Sequence[str]) -> NDArray[np.uint8]:
    """Fingerprints, shape (N, 16), of pairs: not the images' own, under which their keys are known."""
    return keys.pack(
        _digest(b"image-text" + image.tobytes() + text.encode("utf-8"))
        for image, text in zip(prints, texts, strict=True)
    )


def read_text(path: str | RemotePath, origin: str, codec: str) -> str:
    """The text of a file.

    Raises
    ------
    SampleError
        It is gone, cannot be read any more, or holds no text in this codec.
    """
    text = _text(read_image(path, origin), codec)
    if isinstance(text, Problem):
        raise SampleError(f"{origin}: {text.reason}")
    return text


def _text(content: bytes, codec: str) -> str | Problem:
    """The text that a file holds."""
    try:
        text = content.decode(codec)
    except UnicodeError:
        shown = codec.removesuffix("-sig")
        other = "utf-8" if shown != "utf-8" else "latin-1"
        return Problem(f"the text is not {shown}; pass --encoding {other} (or what it was written in)")
    return EMPTY_TEXT if is_blank(text) else text


def _read_key(path: str | RemotePath, text: str | None, codec: str | None = None) -> bytes | Problem:
    try:
        content = bytes_at(path)
    except OSError as error:
        return Problem(unreadable(error), "transient")
    if not content:
        return EMPTY_FILE
    if codec is None:
        return key_of_image(content, text)
    read = _text(content, codec)
    return read if isinstance(read, Problem) else key_texts([read])[0][0].tobytes()


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=keys.KEY_BYTES).digest()
