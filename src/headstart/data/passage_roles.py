"""Which columns of a table are questions, the contexts in which their answers stand, and the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.data.answers import NoAnswersError, answers_column, misplaced, parsed
from headstart.data.column_names import ANSWERS_NAMES, ARTICLE_NAMES, CONTEXT_NAMES, QUESTION_NAMES
from headstart.data.source import Problem
from headstart.errors import ConfigError
from headstart.types import LabelColumn
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.data.options import SourceOptions
    from headstart.data.table import Table
    from headstart.types import Answer, Modality

KIND = "spans"
IDS = ("id", "qid", "question_id")


@dataclass(frozen=True, slots=True)
class PassageColumns:
    """The columns of questions, contexts and answers, of what questions on one text share, and of their ids."""

    question: str
    context: str
    answers: str | None
    article: str | None
    id: str | None


def passage_columns(table: Table, options: SourceOptions, modality: Modality | None) -> PassageColumns | None:
    """The columns of questions with contexts; None: the table is something else.

    They are taken by name where all three are there, or where questions or contexts are named by an option, or pairs of
    texts are wanted.

    Raises
    ------
    ConfigError
        An option names one of them, and another is not to be found.
    """
    asked = options.question_column or options.context_column or options.answers_column
    if not asked and (options.text_column or options.text_pair_column or options.image_column):
        return None
    question = options.question_column or _named(table, QUESTION_NAMES, bool(asked))
    context = options.context_column or _named(table, CONTEXT_NAMES, bool(asked))
    answers = _answers(table, options, bool(asked)) if options.labels else None
    if not asked and question and answers and not context:
        raise ConfigError(
            f"{question!r} and {answers!r} are questions with answers, and no column is called 'context'; name that in "
            "which the answers stand with --context-column"
        )
    if not asked and (not question or not context or not (answers or modality == "text-pair")):
        return None
    if not question:
        raise ConfigError(f"no column looks like questions among {table}; name it with --question-column")
    if not context:
        raise ConfigError(f"no column looks like contexts among {table}; name it with --context-column")
    taken = {name for name in (question, context, answers) if name}
    articles = (name for name in table.named(ARTICLE_NAMES, taken) if _holds_strings(table, name))
    return PassageColumns(question, context, answers, next(articles, None), _ids(table))


def _named(table: Table, names: Sequence[str], loosely: bool) -> str | None:
    """The column of the first of some names, or if nobody asked for it, of exactly that."""
    found = table.named(names if loosely else names[:1])
    return next((name for name in found if _holds_strings(table, name)), None)


def _answers(table: Table, options: SourceOptions, loosely: bool) -> str | None:
    """The column of answers: as named, the only column of labels, or one that holds what answers are written as."""
    if options.answers_column:
        return options.answers_column
    if options.label_columns is not None:
        names = [name for name in options.label_columns if name in table.names]
        return names[0] if len(names) == 1 and _holds_answers(table, names[0]) else None
    found = table.named(ANSWERS_NAMES)
    return next((name for name in found if _holds_answers(table, name)), None)


def _holds_strings(table: Table, name: str) -> bool:
    return table.kind(name) == "strings"


def _holds_answers(table: Table, name: str) -> bool:
    """Whether a cell of a column is of JSON, as answers are."""
    if not _holds_strings(table, name):
        return False
    first = next((cell for cell in table.rows.column(name).to_pylist() if cell and cell.strip()), "")
    return first.lstrip()[:2] in ("[]", "[{", '{"')


def _ids(table: Table) -> str | None:
    """The column of ids, if each row has one of its own."""
    for name in table.named(IDS):
        if _holds_strings(table, name):
            cells = table.rows.column(name).to_pylist()
            if all(cells) and len(set(cells)) == len(cells):
                return name
    return None


def read_answers(table: Table, context: str, answers: str) -> tuple[LabelColumn, dict[int, Problem]]:
    """A column of answers, and the rows whose answers are none, or do not stand in their context."""
    cells, contexts = table.rows.column(answers).to_pylist(), table.rows.column(context)
    rows: list[list[Answer] | None] = [None] * len(cells)
    problems: dict[int, Problem] = {}
    for row, cell in enumerate(cells):
        if cell is None or not cell.strip():
            continue
        try:
            found = parsed(cell)
        except NoAnswersError as error:
            problems[row] = Problem(str(error))
            continue
        if found and (wrong := misplaced(found, contexts[row].as_py() or "")):
            problems[row] = Problem(wrong)
            continue
        rows[row] = found
    column = answers_column(rows)
    return LabelColumn(KIND, column, (), _said(rows)), problems


def _said(rows: Sequence[Sequence[Answer] | None]) -> str:
    known = [row for row in rows if row is not None]
    without = sum(not row for row in known)
    said = f"answers to {counted(len(known), 'question')}"
    return f"{said}, {without:,} of them without one" if without else said


def blank_problems(questions: Sequence[str | None], contexts: Sequence[str | None]) -> dict[int, Problem]:
    """The rows that ask nothing, or have nothing to answer from."""
    found: dict[int, Problem] = {}
    for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        for noun, text in (("question", question), ("context", context)):
            if not text or text.isspace():
                found[row] = Problem(f"the {noun} is empty")
                break
    return found
