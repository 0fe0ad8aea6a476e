"""Write numbers and dates out in words, and make a small untrained model that could learn to.

Usage: python make_numbers.py numbers FILE.csv | dates FILE.csv | model FOLDER

Both tables have the columns ``input`` and ``target``: ``4271`` and "four thousand two hundred and seventy-one",
``2026-11-29`` and "the twenty-ninth of November two thousand and twenty-six". Dates ask for the words of numbers and
for some more, so that a model which writes numbers has a head start. The model is a T5 of 170,000 random weights with
a tokenizer that was trained on both. The same versions give the same files.
"""

from __future__ import annotations

import csv
import datetime
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
IRREGULAR = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
N_NUMBERS, N_DATES = 3000, 1000
FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
MARKS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
N_TOKENS = 128
MODEL = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}


def in_words(number: int) -> str:
    """A number below a million, as people say it in English.

    >>> in_words(4271), in_words(100_040), in_words(0)
    ('four thousand two hundred and seventy-one', 'one hundred thousand and forty', 'zero')
    """
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    above, below = divmod(number, size)
    if not below:
        return f"{in_words(above)} {name}"
    return f"{in_words(above)} {name}{' and' if below < 100 else ''} {in_words(below)}"


def ordinal(number: int) -> str:
    """Which it is in a row.

    >>> ordinal(29), ordinal(12), ordinal(30)
    ('twenty-ninth', 'twelfth', 'thirtieth')
    """
    head, hyphen, last = in_words(number).rpartition("-")
    last = IRREGULAR.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return head + hyphen + last


def date_in_words(day: datetime.date) -> str:
    """A date, as people say it in English.

    >>> date_in_words(datetime.date(2026, 11, 29))
    'the twenty-ninth of November two thousand and twenty-six'
    """
    return f"the {ordinal(day.day)} of {MONTHS[day.month - 1]} {in_words(day.year)}"


def numbers() -> Iterator[tuple[str, str]]:
    """Numbers of one to four digits, none twice."""
    draw = random.Random(0)
    found: dict[int, None] = dict.fromkeys(range(100))
    while len(found) < N_NUMBERS:
        found[draw.randrange(10 ** draw.randint(3, 4))] = None
    return ((str(number), in_words(number)) for number in found)


def dates() -> Iterator[tuple[str, str]]:
    """Days of two centuries, none twice."""
    days = random.Random(1).sample(range((LAST - FIRST).days + 1), N_DATES)
    found = (FIRST + datetime.timedelta(days=number) for number in days)
    return ((day.isoformat(), date_in_words(day)) for day in found)


def make_numbers(target: Path) -> None:
    """Write the table of numbers."""
    _write(target, numbers())


def make_dates(target: Path) -> None:
    """Write the table of dates."""
    _write(target, dates())


def _write(target: Path, rows: Iterator[tuple[str, str]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["input", "target"])
        writer.writerows(rows)


def make_model(folder: Path) -> None:
    """Write a small T5 of random weights, with a tokenizer of its own."""
    import torch
    import transformers

    texts = [text for rows in (numbers(), dates()) for pair in rows for text in pair]
    tokenizer = _tokenizer(texts)
    tokenizer.save_pretrained(folder)
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        **MODEL,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.T5ForConditionalGeneration(config).save_pretrained(folder)


def _tokenizer(texts: Sequence[str]):
    """Pieces of words, single digits and signs, with an end behind each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token=MARKS["unk_token"]))
    core.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True),
    ])  # fmt: skip
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS, special_tokens=list(MARKS.values()), show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=64, model_input_names=["input_ids", "attention_mask"], **MARKS
    )


MAKERS: dict[str, Callable[[Path], None]] = {
    "numbers": make_numbers, "dates": make_dates, "model": make_model,
}  # fmt: skip

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in MAKERS:
        sys.exit("usage: python make_numbers.py numbers FILE.csv | dates FILE.csv | model FOLDER")
    MAKERS[sys.argv[1]](Path(sys.argv[2]))
    print(f"{sys.argv[1]} in {sys.argv[2]}")
