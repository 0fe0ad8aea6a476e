"""The names under which people write texts, labels, images and splits."""

from __future__ import annotations

# The first name of each group wins if others are there as well.
LABEL_NAMES = (
    *("label", "labels", "category", "class", "target", "intent", "sentiment", "y", "class_name"),
    *("label_name", "label_text", "coarse_label", "fine_label"),
)
RARER_LABEL_NAMES = (
    *("topic", "stars", "star_rating", "rating", "genre", "emotion", "polarity", "categories", "topics"),
    *(
        "genres",
        "emotions",
        "gold_label",
        "class_index",
        "class index",
        "class_label",
        "class_id",
        "label_id",
    ),
    *("label-coarse", "label-fine", "label_coarse", "label_fine", "label-text", "toxicity", "is_duplicate"),
    *("overall", "species", "breed", "is_spam", "spam", "stance", "acceptability", "grade", "score"),
    *("tag", "tags", "airline_sentiment", "targets", "classes", "classification"),
)
"""Taken for labels where none of the others is there."""
SPLIT_NAMES = ("split", "fold", "subset", "partition")
TEXT_NAMES = (
    *("text", "texts", "sentence", "content", "review", "question", "query", "utterance", "document"),
    *("body", "tweet", "headline", "title", "docstring", "description", "comment", "message", "abstract"),
    *("article", "passage", "post", "prompt", "caption"),
)
PAIR_NAMES = (
    *(("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("premise", "hypothesis")),
    *(("question1", "question2"), ("text1", "text2"), ("text_a", "text_b"), ("text", "text_pair")),
    *(("question", "answer"), ("question", "sentence"), ("question", "passage"), ("query", "document")),
)
WRITTEN_PAIRS = (
    *(("input", "target"), ("source", "target"), ("src", "tgt"), ("input_text", "target_text")),
    *(("source_text", "target_text"), ("inputs", "targets")),
)
"""Names that say together what is read and what is to be written."""
INPUT_NAMES = (
    *(
        "input",
        "source",
        "src",
        "input_text",
        "source_text",
        "inputs",
        "text",
        "document",
        "article",
        "dialogue",
    ),
    *("question", "prompt", "sentence"),
)
TARGET_NAMES = (
    *("target", "tgt", "target_text", "targets", "output", "summary", "highlights", "translation", "answer"),
    *("answers", "references", "response"),
)
"""Taken for what is read and what is to be written where it is said that texts are to be written."""
IMAGE_NAMES = (
    *("image", "image_path", "img", "img_path", "path", "file", "file_name", "filename", "file_path"),
    *("filepath", "image_file", "photo", "picture"),
)
WORDS_NAMES = ("tokens", "words")
TAGS_NAMES = (
    *(
        "ner_tags",
        "ner",
        "tags",
        "labels",
        "label",
        "fine_ner_tags",
        "chunk_tags",
        "chunks",
        "pos_tags",
        "pos",
    ),
    *("upos_tags", "upos", "xpos_tags"),
)
"""The first of them that is there has the tags of words."""
QUESTION_NAMES = ("question", "questions", "query")
CONTEXT_NAMES = ("context", "contexts", "passage", "paragraph", "document")
ANSWERS_NAMES = ("answers", "answer")
ARTICLE_NAMES = ("title", "article")
"""What questions on one text share, where the data says it."""
OTHER_TASKS = (
    (("question",), ("answers",), "questions with answers that do not say where in a context they stand"),
    (("title",), ("paragraphs",), "questions on paragraphs (SQuAD, which is read as JSON)"),
)
"""Columns that together are of a task which headstart does not learn yet, and what they hold."""
OTHER_NAMES = ("id", "idx", "index", "uid", "name", "date", "user", "lang", "language", "source", "url")

KNOWN = frozenset(
    (*LABEL_NAMES, *RARER_LABEL_NAMES, *SPLIT_NAMES, *TEXT_NAMES, *IMAGE_NAMES, *OTHER_NAMES)
) | frozenset(name for pair in PAIR_NAMES for name in pair)


def plain(name: str) -> str:
    """A column's name without what people vary."""
    return name.strip().lower()
