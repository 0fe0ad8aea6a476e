"""mteb's own tasks on small data that is made here: no hub is asked."""

from __future__ import annotations

import random
from typing import Any

WORDS = {
    "card": "my bank card did not arrive in the post yet",
    "cash": "the machine gave me no cash and took the money",
    "rate": "which exchange rate do you use for a transfer abroad",
    "pin": "i forgot the pin and cannot change it in the app",
}


def text_of(topic: str, number: int) -> str:
    """A text of a topic: half of its words in some order."""
    words = WORDS[topic].split()
    return " ".join(random.Random(f"{topic}{number}").sample(words, len(words) // 2))


def rows(n: int, start: int) -> dict[str, list[Any]]:
    topics = [list(WORDS)[number % len(WORDS)] for number in range(n)]
    texts = [text_of(topic, start + number) for number, topic in enumerate(topics)]
    return {"text": texts, "label": [list(WORDS).index(topic) for topic in topics]}


def banking() -> Any:
    """Banking77Classification."""
    import datasets
    import mteb

    parts = {"train": rows(80, 0), "test": rows(40, 1000)}
    return _with(mteb.get_task("Banking77Classification"), datasets.DatasetDict(
        {name: datasets.Dataset.from_dict(part) for name, part in parts.items()}
    ))  # fmt: skip


def sts() -> Any:
    """STSBenchmark."""
    import datasets
    import mteb

    first, second = rows(20, 0), rows(20, 100)
    second["text"] = second["text"][:10] + second["text"][11:] + second["text"][10:11]
    scores = [float(number % 6) for number in range(20)]
    part = {"sentence1": first["text"], "sentence2": second["text"], "score": scores}
    return _with(
        mteb.get_task("STSBenchmark"), datasets.DatasetDict({"test": datasets.Dataset.from_dict(part)})
    )


def clusters() -> Any:
    """TwentyNewsgroupsClustering.v2."""
    import datasets
    import mteb

    found = rows(60, 0)
    part = datasets.Dataset.from_dict({"sentences": found["text"], "labels": found["label"]})
    task = _with(mteb.get_task("TwentyNewsgroupsClustering.v2"), datasets.DatasetDict({"test": part}))
    task.max_fraction_of_documents_to_embed = None
    return task


def retrieval() -> Any:
    """NFCorpus: a query of each topic finds its documents; one document is empty, as there are in corpora."""
    import datasets
    import mteb

    documents, queries = rows(24, 0), rows(8, 500)
    texts = [*documents["text"], ""]
    corpus = {"id": [f"d{number}" for number in range(25)], "text": texts, "title": [""] * 25}
    relevant = {
        f"q{number}": {f"d{at}": 1 for at, other in enumerate(documents["label"]) if other == label}
        for number, label in enumerate(queries["label"])
    }
    part = {
        "corpus": datasets.Dataset.from_dict(corpus),
        "queries": datasets.Dataset.from_dict({"id": list(relevant), "text": queries["text"]}),
        "relevant_docs": relevant,
        "top_ranked": None,
    }
    return _with(mteb.get_task("NFCorpus"), {"default": {"test": part}})


TASKS = {"banking": banking, "sts": sts, "clusters": clusters, "retrieval": retrieval}


def score(model: Any, name: str, **options: Any) -> float:
    """The main score of a model in one of mteb's tasks."""
    import mteb

    given = {"cache": None, "show_progress_bar": False, "encode_kwargs": {"batch_size": 4}, **options}
    found = mteb.evaluate(model, TASKS[name](), **given)
    return float(found.task_results[0].get_score())


def _with(task: Any, dataset: Any) -> Any:
    task.dataset, task.data_loaded = dataset, True
    return task
