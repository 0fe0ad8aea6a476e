"""A cache in a data set repository of the Hugging Face hub: ``hf:ORG/NAME``.

huggingface_hub does the work. Its token comes from where that library looks for it, and is kept nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from headstart.backbones.hub import is_offline
from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import storage_errors
from headstart.sharing.card import with_card
from headstart.sharing.hub_errors import CommitConflictError, library_utils, retried, told
from headstart.sharing.place import CURRENT, HEADER, Advance, CachePlace, OutgoingFile, OutgoingState

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.hf_api import RepoFile

HUB = "hf:"
KIND = "dataset"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
CARD = "README.md"
UNTOUCHED = (CARD, ".gitattributes")
"""What a repository may hold besides a cache."""
FILES_PER_COMMIT = 50
UPLOADS = 5
"""Files that are uploaded at once."""
TRIES = 5


class HubPlace(CachePlace):
    """The cache in a repository, at one commit until it is refreshed.

    Parameters
    ----------
    address : str
        ``hf:ORG/NAME``, with or without ``@REVISION``.
    revision : str, optional
        A branch, tag or commit; None: the main branch.
    public : bool
        Whether anybody may see what is pushed: a repository that is made for it is public, or one that is may be used.
    may_be_new : bool
        Whether there need not be such a repository yet.
    """

    def __init__(
        self,
        address: str,
        revision: str | None = None,
        public: bool = False,
        may_be_new: bool = False,
        offline: bool = False,
    ) -> None:
        super().__init__(address)
        if offline or is_offline():
            raise ConfigError(f"{address} lies on the hub, and --offline says that no socket is opened")
        name, _, named = address.removeprefix(HUB).partition("@")
        if named and revision and named != revision:
            raise ConfigError(
                f"{address} names the revision {named}, and --revision another one ({revision})"
            )
        if not NAME.fullmatch(name):
            raise ConfigError(f"{address} names no repository; write hf:ORG/NAME")
        self._name, self._revision = name, revision or named or None
        self._public, self._may_be_new = public, may_be_new
        self._api = _api()
        self._look()

    def refresh(self) -> None:
        """See `CachePlace`."""
        self._look()

    def _look(self) -> None:
        """Find the commit, and what is in it."""
        self._tree: dict[str, RepoFile] = {}
        self._head = self._commit_at(self._revision)
        self._is_new = self._head is None
        if self._is_new and self._revision is not None:
            self._head = self._commit_at(None)  # which the new branch will begin with
        if self._head is None:
            return
        self._tree = {file.path: file for file in self._listed(self._head)}

    @retried
    def _listed(self, commit: str) -> list[RepoFile]:
        from huggingface_hub.hf_api import RepoFile

        with self._told():
            found = self._api.list_repo_tree(self._name, recursive=True, revision=commit, repo_type=KIND)
            return [entry for entry in found if isinstance(entry, RepoFile)]

    @retried
    def _commit_at(self, revision: str | None) -> str | None:
        """The commit of a revision; None if it, or the repository, is not there yet and may be made."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        with self._told():
            try:
                info = self._api.repo_info(self._name, repo_type=KIND, revision=revision)
            except RevisionNotFoundError:
                if self._may_be_new and not COMMIT.fullmatch(revision or ""):
                    return None
                raise DataError(f"{self.said} has no revision {revision!r}") from None
            except RepositoryNotFoundError:
                if self._may_be_new:
                    return None
                raise
        if self._may_be_new and not info.private and not self._public:
            raise ConfigError(
                f"{self.said} is public, and anybody would see what is pushed there; say --public, or make it private"
            )
        return info.sha

    def check(self) -> None:
        """See `CachePlace`; a repository that holds something else is refused."""
        others = [path for path in self._tree if path not in UNTOUCHED]
        if others and HEADER not in self._tree:
            raise DataError(
                f"{self.said} holds no cache, but other files ({others[0]} …); name a new repository, or an empty one"
            )
        super().check()

    def files(self, folder: str) -> dict[str, int]:
        """See `CachePlace`."""
        return {path: int(file.size) for path, file in self._tree.items() if path.startswith(f"{folder}/")}

    def read(self, path: str) -> bytes | None:
        """See `CachePlace`."""
        return self._get(path, {}) if path in self._tree else None

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """See `CachePlace`."""
        return self._get(path, {"Range": f"bytes={start}-{start + length - 1}"})[:length]

    @retried
    def _get(self, path: str, headers: dict[str, str]) -> bytes:
        from huggingface_hub import hf_hub_url

        utils = library_utils()
        with self._told(path):
            url = hf_hub_url(
                self._name, path, repo_type=KIND, revision=self._head, endpoint=self._api.endpoint
            )
            answer = utils.http_backoff("GET", url, headers={**utils.build_hf_headers(), **headers})
            utils.hf_raise_for_status(answer)
            return bytes(answer.content)

    def fetch(self, path: str, target: Path, advance: Advance) -> None:
        """See `CachePlace`. What arrives is compared with the digest that the hub has of it."""
        file = self._tree[path]
        self._download(path, target)
        if not _is_whole(target, file):
            raise StorageError(
                f"{path} of {self.said} arrived otherwise than the hub has it; run the same command again"
            )
        advance(int(file.size))

    @retried
    def _download(self, path: str, target: Path) -> None:
        with storage_errors(target), self._told(path), TemporaryDirectory(dir=target.parent) as folder:
            arrived = self._api.hf_hub_download(
                self._name, path, repo_type=KIND, revision=self._head, local_dir=folder
            )
            os.replace(arrived, target)

    def send(self, files: Sequence[OutgoingFile], advance: Advance) -> None:
        """See `CachePlace`. What was uploaded before a kill, and not committed, does not travel again."""
        if self._is_new:
            self._create()
        for start in range(0, len(files), FILES_PER_COMMIT):
            some = files[start : start + FILES_PER_COMMIT]
            for _ in range(TRIES):
                with contextlib.suppress(CommitConflictError):
                    self._commit(self._uploaded(some, advance), f"Add {len(some)} files of a headstart cache")
                    break
            else:
                raise StorageError(
                    f"{self.said} is being written by others all the time; run the same command again"
                )

    def commit_state(
        self, state: OutgoingState, replaces: str | None, in_force: bool, advance: Advance
    ) -> bool:
        """See `CachePlace`; the state and what is in force change in one commit."""
        for _ in range(TRIES):
            self._look()
            if in_force and self.in_force(state.name) not in (replaces, state.digest):
                return False
            files = list(state.files)
            files.append(OutgoingFile(CARD, with_card(self.read(CARD), self._name, state).encode()))
            if in_force:
                files.append(OutgoingFile(f"sets/{state.name}/{CURRENT}", f"{state.digest}\n".encode()))
            with contextlib.suppress(CommitConflictError):
                message = f"Set {state.name} in state {state.digest}"
                self._commit(self._uploaded(files, advance), message, parent=self._head)
                return True
        return False

    @retried
    def _create(self) -> None:
        with self._told():
            if self._head is None:
                self._api.create_repo(self._name, repo_type=KIND, private=not self._public, exist_ok=True)
            if self._revision is not None:
                self._api.create_branch(self._name, branch=self._revision, repo_type=KIND, exist_ok=True)
        self._look()

    def _uploaded(self, files: Sequence[OutgoingFile], advance: Advance) -> list[CommitOperationAdd]:
        """Files whose content is on the hub, but not in a commit yet."""
        added: list[CommitOperationAdd] = []
        for start in range(0, len(files), UPLOADS):
            some = files[start : start + UPLOADS]
            added += self._upload(some)
            advance(sum(file.size for file in some))
        return added

    @retried
    def _upload(self, files: Sequence[OutgoingFile]) -> list[CommitOperationAdd]:
        from huggingface_hub import CommitOperationAdd

        with self._told(files[0].path):
            operations = [CommitOperationAdd(file.path, _content(file)) for file in files]
            self._api.preupload_lfs_files(
                self._name, operations, repo_type=KIND, revision=self._revision, free_memory=False,
                num_threads=UPLOADS,
            )  # fmt: skip
            return operations

    @retried
    def _commit(self, operations: list[CommitOperationAdd], message: str, parent: str | None = None) -> None:
        with self._told():
            self._api.create_commit(
                self._name, operations, commit_message=message, repo_type=KIND, revision=self._revision,
                parent_commit=parent,
            )  # fmt: skip

    def _told(self, path: str = "") -> contextlib.AbstractContextManager[None]:
        return told(self.said, path)


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi()


def _content(file: OutgoingFile) -> Any:
    return str(file.content) if isinstance(file.content, Path) else file.content


def _is_whole(path: Path, file: Any) -> bool:
    """Whether a file has the digest that the hub has of it: of large files SHA-256, of others git's own."""
    with open(path, "rb") as content:
        if file.lfs is not None:
            return bool(hashlib.file_digest(content, "sha256").hexdigest() == file.lfs.sha256)
        head = f"blob {path.stat().st_size}\0".encode()
        digest = hashlib.sha1(head + content.read(), usedforsecurity=False)
        return bool(digest.hexdigest() == file.blob_id)
