"""Consecutive samples of a tar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import strings
from headstart.data.blocks import Problem, prefixed
from headstart.data.tars.index import NO_MEMBER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.data.tars.content import OpenTar
    from headstart.data.tars.files import TarFile
    from headstart.data.tars.index import TarIndex
    from headstart.data.tars.roles import TarRoles


@dataclass(frozen=True, slots=True)
class TarBlock:
    """Some samples of an opened tar.

    Parameters
    ----------
    rows : range
        The numbers of the samples in the tar, N of them.
    """

    file: TarFile
    tar: OpenTar
    index: TarIndex
    rows: range

    def ids(self) -> pa.StringArray:
        """``<tar>/<key>`` of each sample."""
        return prefixed(f"{self.file.prefix}/", self.index.keys[self.rows.start : self.rows.stop])

    def origins(self, members: NDArray[np.int64]) -> pa.StringArray:
        """``<tar>:<member>``; of a sample without such a member, its first."""
        firsts = self.index.firsts[self.rows.start : self.rows.stop]
        codes = self.index.codes[np.where(members == NO_MEMBER, firsts, members)].tolist()
        endings, name = self.index.endings, self.file.name
        keys = self.index.keys[self.rows.start : self.rows.stop].to_pylist()
        return strings([f"{name}:{key}.{endings[code]}" for key, code in zip(keys, codes, strict=True)])

    def members(self, kinds: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The member of each sample that ends so, or -1, and how many there are; shape (N,)."""
        members, counts = self.index.find(kinds)
        return members[self.rows.start : self.rows.stop], counts[self.rows.start : self.rows.stop]

    def content(self, roles: TarRoles) -> tuple[NDArray[np.int64], dict[int, Problem]]:
        """The members that hold each part of each sample, shape (N, P), and what is wrong, by row."""
        problems: dict[int, Problem] = {}
        parts = []
        for kinds, name in zip(roles.content, roles.parts(), strict=True):
            members, counts = self.members(kinds)
            for row in np.flatnonzero(counts == 0).tolist():
                problems.setdefault(row, Problem(f"it has no {name}, only {self._shown(row)}"))
            for row in np.flatnonzero(counts > 1).tolist():
                problems[row] = Problem(
                    f"it has several members that could be its {name}: {self._shown(row)}"
                )
            parts.append(members)
        refused = {
            row - self.rows.start: reason for row, reason in self.index.refused.items() if row in self.rows
        }
        problems.update({row: Problem(reason) for row, reason in refused.items()})
        return np.stack(parts, axis=1), problems

    def places(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offset and size of members, shape (N, P, 2); zeros where there is none."""
        places = np.stack([self.index.offsets[members], self.index.sizes[members]], axis=-1)
        places[members == NO_MEMBER] = 0
        return places

    def read(self, member: int) -> bytes:
        """The bytes of a member.

        Raises
        ------
        OSError
            They cannot be read.
        """
        content = self.index.small_content(member)
        if content is None:
            size = int(self.index.sizes[member])
            content = self.tar.read(int(self.index.offsets[member]), size)
            if len(content) < size:
                raise OSError(0, "it has become shorter than it was")
        return content

    def place(self, row: int) -> str:
        """Tar and name of a sample, for a message."""
        return f"{self.file.path}, sample {self.index.keys[self.rows[row]].as_py()!r}"

    def _shown(self, row: int) -> str:
        start, stop = self.index.firsts[self.rows[row] : self.rows[row] + 2].tolist()
        return ", ".join(f".{self.index.endings[code]}" for code in self.index.codes[start:stop])
