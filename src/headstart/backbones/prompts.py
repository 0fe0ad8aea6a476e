"""What the authors of a text model say of its use: the words before queries and documents, how vectors are compared.

Most sentence-transformers folders declare both in a file. Some models name prompts in their description alone, and
rank badly without them, with no error; those are known here by their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.contracts import Backbone


# As sentence-transformers 6.2 looks for them, `sentence_transformer/model.py`.
QUERY_NAMES = ("query",)
DOCUMENT_NAMES = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class DeclaredPrompts:
    """The prompts of a model by name, and the name of the one that stands before every text unless another is asked."""

    by_name: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    default_name: str | None = None

    @property
    def query(self) -> str | None:
        """The words before a query; None if the model has none."""
        return self._first(QUERY_NAMES)

    @property
    def document(self) -> str | None:
        """The words before a document that is searched; None if the model has none."""
        return self._first(DOCUMENT_NAMES)

    @property
    def default(self) -> str | None:
        """The words before every text where no other prompt is asked for; None if there are none."""
        return self.by_name.get(self.default_name or "") or None

    def name_of(self, words: str | None) -> str | None:
        """The first name that some words have."""
        return next((name for name, said in self.by_name.items() if said == words), None)

    def _first(self, names: tuple[str, ...]) -> str | None:
        return next(filter(None, map(self.by_name.get, names)), None)


def words_of(asked: str, declared: DeclaredPrompts, spec: str) -> str:
    """The words that a user means, who says them or the name of one of a model's prompts.

    Raises
    ------
    ConfigError
        It is the name of a role, for which this model has no prompt: as words before each text it would change every
        vector, without an error.

    Examples
    --------
    >>> words_of("passage", known_prompts("e5-small"), "hf:e5-small")
    'passage: '
    >>> words_of("a photo of ", DeclaredPrompts(), "hf:e5-small")
    'a photo of '
    """
    if asked not in declared.by_name and asked in (*QUERY_NAMES, *DOCUMENT_NAMES):
        named = [name for name, words in declared.by_name.items() if words]
        has = f"only {', '.join(named)}" if named else "none at all"
        raise ConfigError(
            f"{spec} has no prompt named {asked!r}, {has}; give the words themselves ({asked + ': '!r}), or leave it "
            "out"
        )
    return declared.by_name.get(asked, asked)


_ENGLISH = "Represent this sentence for searching relevant passages: "
# From their descriptions on the hub, as mteb 2.26 has them in `models/model_implementations/`.
_KNOWN = (
    (r"(multilingual-)?e5-(small|base|large)(-v2)?", {"query": "query: ", "passage": "passage: "}),
    (r"bge-(small|base|large)-en(-v1\.5)?", {"query": _ENGLISH}),
    (r"bge-(small|base|large)-zh(-v1\.5)?", {"query": "为这个句子生成表示以用于检索相关文章："}),
    (
        r"nomic-embed-text-v[\d.]+(-moe|-unsupervised|-ablated)?|modernbert-embed-base",
        {"query": "search_query: ", "document": "search_document: "},
    ),
)


def known_prompts(name: str) -> DeclaredPrompts:
    """The prompts that the description of a model names, by its name on the hub or its folder's.

    Examples
    --------
    >>> known_prompts("intfloat/e5-small-v2").query
    'query: '
    >>> known_prompts("BAAI/bge-m3").query
    """
    own = name.rstrip("/").rpartition("/")[2].lower()
    return DeclaredPrompts(next((said for pattern, said in _KNOWN if re.fullmatch(pattern, own)), {}))


def prompts_in(settings: Mapping[str, Any]) -> DeclaredPrompts:
    """The prompts in what ``config_sentence_transformers.json`` says."""
    said = settings.get("prompts") or {}
    return DeclaredPrompts(
        {name: text or "" for name, text in said.items()}, settings.get("default_prompt_name")
    )


@runtime_checkable
class DeclaresPrompts(Protocol):
    """A backbone whose authors may have put words before queries and documents."""

    def declared_prompts(self) -> DeclaredPrompts:
        """Those of its files, or of its description; no weights are loaded.

        Raises `WeightsUnavailableError` if the model is not on this machine, so that nobody can say.
        """


def declared_prompts(backbone: Backbone) -> DeclaredPrompts:
    """The prompts that the authors of a backbone declare; none where it takes no prompt."""
    return backbone.declared_prompts() if isinstance(backbone, DeclaresPrompts) else DeclaredPrompts()


@runtime_checkable
class DeclaresSimilarity(Protocol):
    """A backbone whose authors say how its vectors are compared."""

    def declared_similarity(self) -> str | None:
        """As sentence-transformers names it: ``cosine``, ``dot``, ``euclidean`` or ``manhattan``; None: not said."""


def declared_similarity(backbone: Backbone) -> str:
    """How the authors of a backbone compare its vectors; ``cosine`` where they do not say."""
    said = backbone.declared_similarity() if isinstance(backbone, DeclaresSimilarity) else None
    return said or "cosine"
