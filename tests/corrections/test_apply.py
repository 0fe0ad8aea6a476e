"""A set is corrected: its labels, what is kept of that, and what is refused."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies

import headstart as hs
from headstart.cache.commit import commit_set
from headstart.cache.corrections import FILE
from headstart.cache.home import Home
from headstart.cache.maintenance.collect import collect
from headstart.cache.maintenance.verify import verify
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.corrections.resolve import resolve
from headstart.corrections.state import given_names, kept
from headstart.errors import CorruptShardError, DataError, HeadstartError, MismatchError
from headstart.progress import Silence
from headstart.types import Failure

from ..made_sets import make_set
from .files import a_set, labels_of, row, write

CATS = ["cat", "cat", "dog", "dog", "cat", None]


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    """Six samples: cats, dogs, and one of which nobody knows."""
    return a_set(cache_root, CATS)


def corrected(features: FeatureSet, *rows: dict[str, str], **more: Any) -> FeatureSet:
    names = list(rows[0]) if rows else []
    return features.correct(pa.table({name: [one[name] for one in rows] for name in names}), **more)


def test_a_label_is_corrected_and_nothing_else_changes(made: FeatureSet) -> None:
    new = corrected(made, row(made, 1, "cat", "dog"))
    assert labels_of(new) == labels_of(made) | {"s1": "dog"}
    assert new.digest != made.digest
    assert hs.open_set("made", cache=str(made.cache)).digest == new.digest
    assert labels_of(made)["s1"] == "cat"  # a state never changes
    for name in ("id", "key", "split", "origin"):
        assert new.samples.column(name).equals(made.samples.column(name))
    assert np.array_equal(new.arrays()[0], made.arrays()[0])
    assert new.features == made.features


def test_each_change_is_kept_with_where_it_comes_from(made: FeatureSet) -> None:
    new = corrected(made, row(made, 1, "cat", "dog", note="it barks"), row(made, 2, "dog", action="keep"))
    told = {
        one.id: (one.old, one.new, one.action, one.note, one.digest, one.given) for one in new.corrections
    }
    assert told == {
        "s1": ("cat", "dog", "relabel", "it barks", made.digest, "cat"),
        "s2": ("dog", "", "keep", "", made.digest, "dog"),
    }
    assert {name: new.info["corrections"][name] for name in ("relabel", "keep", "drop", "unsure")} == {
        "relabel": 1, "keep": 1, "drop": 0, "unsure": 0,
    }  # fmt: skip


def test_files_in_any_order_and_twice_give_the_same_state(tmp_path: Path, made: FeatureSet) -> None:
    files = [
        write(tmp_path / "a.csv", [row(made, 1, "cat", "dog"), row(made, 0, "cat", action="unsure")]),
        write(tmp_path / "b.csv", [row(made, 2, "dog", "fox"), row(made, 4, "cat", action="drop")]),
        write(tmp_path / "c.csv", [row(made, 5, "", "ant"), row(made, 1, "cat", "dog")]),
        write(tmp_path / "d.csv", [row(made, 4, "cat", action="drop", note="I think so too")]),
    ]
    wanted = made.correct(files).digest
    for number, order in enumerate(list(permutations(files))[::3]):
        other = a_set(tmp_path / f"cache {number}", CATS)
        assert other.digest == made.digest
        for file in (*order, order[0]):
            other = other.correct(file)
        assert other.digest == wanted


def test_corrections_add_up_whichever_state_they_are_made_on(
    tmp_path: Path, made: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever forgets to take the set that `correct` returns loses nothing."""
    first = made.correct(write(tmp_path / "a.csv", [row(made, 1, "cat", "dog")]))
    both = made.correct(write(tmp_path / "b.csv", [row(made, 0, "cat", "dog")]), quiet=False)
    assert f"{first.digest} is corrected, and not {made.digest}" in capsys.readouterr().err
    assert [labels_of(both)[name] for name in ("s0", "s1")] == ["dog", "dog"]


def test_a_correction_is_corrected_and_undone_later(made: FeatureSet) -> None:
    first = corrected(made, row(made, 1, "cat", "dog"))
    second = corrected(first, row(first, 1, "dog", "fox"))
    third = corrected(second, row(second, 1, "fox", "cat"))
    assert [labels_of(each)["s1"] for each in (first, second, third)] == ["dog", "fox", "cat"]
    again = corrected(third, row(made, 1, "cat", "dog"), row(first, 1, "dog", "fox"))
    assert again.digest == third.digest
    assert labels_of(corrected(third, row(third, 1, "cat", "dog")))["s1"] == "dog"


def test_a_file_written_by_hand_on_top_of_another_counts_though_its_digest_is_old(made: FeatureSet) -> None:
    first = corrected(made, row(made, 1, "cat", "dog"))
    undone = corrected(first, row(made, 1, "dog", "cat"))
    assert labels_of(undone)["s1"] == "cat"
    assert corrected(undone, row(made, 1, "dog", "cat"), row(made, 1, "cat", "dog")).digest == undone.digest


def test_all_files_of_a_history_may_be_given_again_at_once(made: FeatureSet) -> None:
    first = corrected(made, row(made, 1, "cat", "dog"))
    second = corrected(first, row(first, 1, "dog", "cat"), row(first, 0, "cat", "fox"))
    commit_again(made)  # as if somebody had begun anew
    rows = [row(first, 1, "dog", "cat"), row(made, 1, "cat", "dog"), row(first, 0, "cat", "fox")]
    assert corrected(made, *rows).digest == second.digest


def commit_again(state: FeatureSet) -> None:
    """Put an earlier state without corrections in force."""
    info = {name: value for name, value in state.info.items() if name not in ("format", "created")}
    assert (
        commit_set(Cache(state.cache), state.name, state.samples, info, state.failures).digest == state.digest
    )  # type: ignore[union-attr]


def test_what_changes_nothing_is_told_apart_from_what_was_skipped(
    made: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    new = corrected(made, row(made, 0, "fox", "cat"), row(made, 1, "fox", "dog"), quiet=False)
    assert labels_of(new) == labels_of(made)
    said = capsys.readouterr().err
    assert "0 applied; 1 already so; 1 not applied: s1 is 'cat', not 'fox'" in said


def test_a_file_without_rows_changes_nothing_and_says_so(
    tmp_path: Path, made: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made.correct(write(tmp_path / "none.csv", []), quiet=False).digest == made.digest
    assert "none.csv holds no corrections" in capsys.readouterr().err


@pytest.mark.parametrize("in_one_command", [True, False])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("cat", "dog", "relabel"), ("cat", "fox", "relabel")),
        (("cat", "dog", "relabel"), ("cat", "", "keep")),
        (("cat", "dog", "relabel"), ("cat", "", "drop")),
        (("cat", "", "keep"), ("cat", "", "drop")),
    ],
)
def test_files_that_disagree_about_a_sample_are_refused_by_its_id(
    tmp_path: Path,
    made: FeatureSet,
    one: tuple[str, str, str],
    other: tuple[str, str, str],
    in_one_command: bool,
) -> None:
    a = write(tmp_path / "a.csv", [row(made, 1, one[0], one[1], one[2])])
    b = write(tmp_path / "b.csv", [row(made, 0, "cat", "dog"), row(made, 1, other[0], other[1], other[2])])
    before = made if in_one_command else made.correct(a)
    with pytest.raises(MismatchError, match=r"disagree about sample 's1'") as raised:
        made.correct([a, b] if in_one_command else b)
    assert "b.csv, line 3" in str(raised.value)
    assert ("a.csv, line 2" if in_one_command else "kept with the set") in str(raised.value)
    assert hs.open_set("made", cache=str(made.cache)).digest == before.digest


def test_corrections_of_another_set_are_refused(made: FeatureSet) -> None:
    other = a_set(made.cache, CATS, name="other", kinds={"kind": "single"}, meta={"x": range(6)})
    with pytest.raises(MismatchError, match="row 0: made for state"):
        corrected(other, row(made, 1, "cat", "dog"))
    assert other.corrections == ()


@pytest.mark.parametrize("change", [{"key": "f" * 32}, {"id": "s2"}, {"id": "zzz"}])
def test_a_sample_that_the_set_has_not_is_refused_by_its_id(made: FeatureSet, change: dict[str, str]) -> None:
    wrong = row(made, 1, "cat", "dog", **change)
    with pytest.raises(MismatchError, match=f"no sample '{wrong['id']}'"):
        corrected(made, row(made, 0, "cat", "dog"), wrong)
    assert hs.open_set("made", cache=str(made.cache)).digest == made.digest


def test_a_label_that_the_set_has_not_is_refused(made: FeatureSet) -> None:
    with pytest.raises(DataError, match=r"row 0: set 'made' has no label 'kinds'; did you mean 'kind'"):
        corrected(made, row(made, 1, "cat", "dog", label="kinds"))


def test_a_sample_is_dropped_and_known_to_be(made: FeatureSet) -> None:
    new = corrected(made, row(made, 1, "cat", action="drop"))
    assert "s1" not in labels_of(new)
    assert (len(new), new.info["counts"]["samples"]) == (5, 5)
    assert len(new.arrays()[0]) == 5
    assert corrected(new, row(made, 1, "cat", action="drop")).digest == new.digest
    with pytest.raises(MismatchError, match="disagree about sample 's1'"):
        corrected(new, row(made, 1, "cat", "dog"))
    assert verify(Cache(made.cache), Silence()).is_sound


def test_what_failed_of_a_dropped_sample_is_forgotten_with_it(made: FeatureSet) -> None:
    keys = [key.as_py().hex() for key in made.samples.column("key")]
    failures = [Failure(f"s{n}", "", "broken", key=keys[n]) for n in (1, 2)] + [
        Failure("gone", "", "unreadable")
    ]
    info = {name: value for name, value in made.info.items() if name not in ("format", "created")}
    info["counts"] = {"samples": 6, "train": 6, "validation": 0, "test": 0, "failures": 3}
    some = commit_set(Cache(made.cache), "made", made.samples, info, failures)
    assert some is not None
    new = corrected(some, row(some, 1, "cat", action="drop"))
    assert [failure.id for failure in new.failures] == ["s2", "gone"]
    assert (new.info["counts"]["failures"], new.info["counts"]["samples"]) == (2, 5)


def test_all_samples_cannot_be_dropped(made: FeatureSet) -> None:
    with pytest.raises(DataError, match="drop all 6 samples"):
        corrected(made, *(row(made, n, CATS[n] or "", action="drop") for n in range(6)))


def test_a_new_class_is_taken_and_said(made: FeatureSet, capsys: pytest.CaptureFixture[str]) -> None:
    new = corrected(made, row(made, 5, "", "ant"), row(made, 0, "cat", " ox "), quiet=False)
    assert "2 new classes in 'kind'" in capsys.readouterr().err
    assert set(new.label_names["kind"]) == {"cat", "dog", "ant", " ox "}
    assert new.label_names["kind"][:2] == made.label_names["kind"]  # the numbers of the others stay
    back = corrected(new, row(new, 0, " ox ", "cat"))
    assert set(back.label_names["kind"]) == {"cat", "dog", "ant"}


def test_new_classes_that_look_like_another_are_said(
    made: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    new = corrected(made, row(made, 5, "", "Cat "), row(made, 0, "cat", "ant"), quiet=False)
    said = capsys.readouterr().err
    assert "warning: 'Cat ', 'cat' differ by case or blanks alone" in said
    assert "old 'Cat ', new 'cat'" in said
    corrected(new, row(new, 5, "Cat ", "cat"), quiet=False)
    assert "blanks alone" not in capsys.readouterr().err


def test_copies_with_another_label_are_said(cache_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features = a_set(cache_root, ["cat", "cat", "dog"], contents=["same", "same", "other"])
    one = corrected(features, row(features, 0, "cat", "dog"), quiet=False)
    assert "1 corrected sample is in the set under another id too" in capsys.readouterr().err
    assert labels_of(one) == {"s0": "dog", "s1": "cat", "s2": "dog"}
    corrected(one, row(one, 1, "cat", "dog"), quiet=False)
    assert "another id" not in capsys.readouterr().err


LISTS: dict[str, tuple[list[Any], str, str, Any]] = {
    "multi": ([["a", "b"], ["b"], None], '["b", "a"]', '["c", "a"]', ["a", "c"]),
    "tags": ([["O", "B-x"], ["O"], ["B-x"]], '["O", "B-x"]', '["B-y", "O"]', ["B-y", "O"]),
    "seq2seq": ([["one text"], ["two"], None], '["one text"]', '["better", "or this"]', ["better", "or this"]),
    "regression": ([1.5, 2.0, None], "1.50", "2.25e0", 2.25),
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_labels_of_every_kind(cache_root: Path, kind: str) -> None:
    labels, old, new, wanted = LISTS[kind]
    names = {"multi": ["a", "b"], "tags": ["B-x", "O"]}.get(kind, [])
    features = set_of(cache_root, labels, kind, names)
    found = corrected(features, row(features, 0, old, new))
    assert labels_of(found) == labels_of(features) | {"s0": wanted}
    assert found.samples.schema.equals(features.samples.schema)
    if names:
        assert set(found.label_names["kind"]) == {*names, *wanted}


def set_of(cache_root: Path, labels: list[Any], kind: str, names: list[str]) -> FeatureSet:
    made = make_set(
        cache_root, np.eye(len(labels), dtype=np.float32), {"kind": ["x"] * len(labels)}, name="plain"
    )
    type = pa.float64() if kind == "regression" else pa.list_(pa.string())
    table = made.samples.set_column(4, "label:kind", pa.array(labels, type))
    info = {name: value for name, value in made.info.items() if name not in ("format", "created")}
    info |= {"labels": {"kind": names}, "label_kinds": {"kind": kind}}
    features = commit_set(Cache(cache_root), "typed", table, info, [])
    assert features is not None
    return features


@pytest.mark.parametrize(
    ("kind", "labels", "old", "new", "said"),
    [
        ("tags", [["O", "B-x"]], '["O", "B-x"]', '["O"]', "1 tags, and the sample 2 words"),
        ("tags", [["O", "B-x"]], '["O", "B-x"]', '["O", "NN"]', "tag 'NN', which is not IOB2"),
        ("regression", [1.5], "1.5", "lots", "row 0: the new label of 's0': 'lots' is no finite number"),
        ("regression", [1.5], "some", "2", "row 0: the old label of 's0'"),
        ("multi", [["a"]], '["a"]', "b", "is no JSON"),
        ("seq2seq", [["a"]], '["a"]', "[]", "holds no text"),
    ],
)
def test_labels_that_a_sample_cannot_have_are_refused(
    cache_root: Path, kind: str, labels: list[Any], old: str, new: str, said: str
) -> None:
    features = set_of(cache_root, [*labels, *labels], kind, ["B-x", "O"] if kind == "tags" else [])
    with pytest.raises(DataError, match=said):
        corrected(features, row(features, 0, old, new))
    assert features.corrections == ()


def test_one_of_several_labels_is_corrected(cache_root: Path) -> None:
    features = make_set(
        cache_root, np.eye(3, dtype=np.float32), {"kind": ["a", "b", "a"], "size": ["s", "l", "s"]}
    )
    new = corrected(features, row(features, 0, "a", "b"), row(features, 0, "s", "l", label="size"))
    assert (labels_of(new)["s0"], labels_of(new, "size")["s0"]) == ("b", "l")


def test_gc_of_earlier_states_forgets_no_file(tmp_path: Path, made: FeatureSet) -> None:
    applied = write(tmp_path / "a.csv", [row(made, 1, "cat", "dog")])
    first = made.correct(applied)
    other = write(tmp_path / "b.csv", [row(first, 0, "cat", "fox")])
    late = write(tmp_path / "c.csv", [row(made, 3, "dog", "fox")])
    second = first.correct(other)
    collect(Cache(made.cache), Silence(), apply=True, grace_days=0, earlier=True)
    assert Home(Path(made.cache)).state_names(made.path.parent) == [second.digest]
    assert second.correct([applied, other]).digest == second.digest
    assert labels_of(second.correct(late))["s3"] == "fox"


def test_a_set_without_corrections_is_what_it_always_was(made: FeatureSet) -> None:
    assert made.info["format"] == 1
    assert not (made.path / FILE).exists()
    assert {"corrections", "lineage"} & set(made.info) == set()
    assert corrected(made, row(made, 1, "cat", "dog")).info["format"] == 2


@pytest.mark.parametrize("damage", ["gone", "changed", "garbage", "other fields"])
def test_damage_to_what_is_kept_is_found(made: FeatureSet, damage: str) -> None:
    new = corrected(made, row(made, 1, "cat", "dog"))
    path = new.path / FILE
    match damage:
        case "gone":
            path.unlink()
        case "changed":
            path.write_bytes(path.read_bytes().replace(b"dog", b"fox"))
        case "garbage":
            path.write_bytes(b"\xff\xfe")
        case _:
            path.write_text(json.dumps({"key": 1}) + "\n")
    with pytest.raises(CorruptShardError, match=FILE):
        _ = hs.open_set("made", cache=str(made.cache)).corrections
    (finding,) = verify(Cache(made.cache), Silence()).findings
    assert FILE in finding.problem
    verify(Cache(made.cache), Silence(), repair=True)
    assert hs.open_set("made", cache=str(made.cache)).digest == made.digest


def test_a_copy_of_a_cache_has_them_too(tmp_path: Path, made: FeatureSet) -> None:
    new = corrected(made, row(made, 1, "cat", "dog"))
    shutil.copytree(made.cache, tmp_path / "copy")
    copied = hs.open_set("made", cache=str(tmp_path / "copy"))
    assert copied.corrections == new.corrections


def test_a_cache_that_can_only_be_read_is_left_alone(made: FeatureSet) -> None:
    new = corrected(made, row(made, 1, "cat", "dog"))
    assert corrected(new, row(made, 1, "cat", "dog")).digest == new.digest


HOSTILE = ["\x1b[31mred", "=cmd()", "a\u2028b", "</script>", "\x00", "x" * 5000, "'; DROP", "\ud7ff", "🐈‍⬛"]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_a_class(
    tmp_path: Path, made: FeatureSet, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "c.csv", [row(made, 1, "cat", name, note=name)])
    new = made.correct(file, quiet=False)
    assert labels_of(hs.open_set("made", cache=str(made.cache)))["s1"] == name
    assert new.corrections[0].note == name
    assert "\x1b" not in capsys.readouterr().err


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.data())
def test_whatever_is_decided_in_turn_the_labels_follow(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    """Files made one after the other, each on the set as it is: the last word on each sample counts, in any order."""
    root = tmp_path_factory.mktemp("some")
    features = start = a_set(root / "a", ["a", "b", "c"])
    wanted = labels_of(features)
    files: list[Path] = []
    for number in range(data.draw(strategies.integers(1, 4))):
        rows = []
        for sample in data.draw(strategies.sets(strategies.sampled_from(list(wanted)), min_size=1)):
            old = wanted[sample]
            wanted[sample] = new = data.draw(strategies.sampled_from("abcd"))
            rows.append(row(start, int(sample[1]), old, new, digest=features.digest))
        files.append(write(root / f"{number}.csv", rows))
        features = features.correct(files[-1])
    assert labels_of(features) == wanted
    commit_again(start)
    shuffled = data.draw(strategies.permutations(files))
    assert start.correct(shuffled).digest == features.digest


def test_several_at_once_lose_nothing(tmp_path: Path, made: FeatureSet) -> None:
    files = [write(tmp_path / f"{n}.csv", [row(made, n, CATS[n] or "", f"new {n}")]) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda file: hs.correct("made", file, cache=made.cache), files))
    assert list(labels_of(hs.open_set("made", cache=str(made.cache))).values()) == [
        f"new {n}" for n in range(6)
    ]


@pytest.mark.parametrize(
    "change",
    [{"corrections": []}, {"corrections": {"classes": 5}}, {"corrections": {"turn": "x", "classes": {}}}],
)
def test_an_entry_that_cannot_be_is_damage(made: FeatureSet, change: dict[str, Any]) -> None:
    new = corrected(made, row(made, 1, "cat", "dog"))
    (new.path / "set.json").write_text(json.dumps(dict(new.info) | change))
    opened = hs.open_set("made", cache=str(made.cache))
    with pytest.raises(CorruptShardError, match="corrections"):
        corrected(opened, row(made, 1, "cat", "dog"))


def test_a_hint_that_cannot_be_read_is_none(made: FeatureSet) -> None:
    new = corrected(made, row(made, 1, "cat", "dog"))
    (new.path / "set.json").write_text(json.dumps(dict(new.info) | {"lineage": [1]}))
    opened = hs.open_set("made", cache=str(made.cache))
    assert labels_of(corrected(opened, row(made, 0, "cat", "dog")))["s0"] == "dog"


def test_decisions_that_clash_on_what_the_data_says_by_now_hinder_no_others(made: FeatureSet) -> None:
    """As an extraction leaves them whose data says a label that two decisions of different turns lead away from."""
    first = corrected(made, row(made, 0, "ant", "bee"), row(made, 1, "cat", "ant"))
    second = corrected(first, row(first, 0, "cat", "ant"))
    third = corrected(second, row(second, 0, "ant", "fox"))
    assert labels_of(third)["s0"] == "fox"
    rows = [replace(one, given="ant") if one.id == "s0" else one for one in third.corrections]
    assert resolve(rows).clashes
    held = kept(rows, resolve(rows), given_names(third), {})
    info = {
        name: value for name, value in third.info.items() if name not in ("format", "created", "corrections")
    }
    odd = commit_set(Cache(made.cache), "made", third.samples, info, [], corrections=held)
    assert odd is not None
    assert labels_of(corrected(odd, row(odd, 2, "dog", "fox")))["s2"] == "fox"
    with pytest.raises(MismatchError, match="disagree about sample 's0'"):
        corrected(odd, row(odd, 0, "fox", "dog"))


def test_nothing_of_a_refused_file_is_kept(tmp_path: Path, made: FeatureSet) -> None:
    before = sorted(path.relative_to(made.cache) for path in made.cache.rglob("*"))
    bad = write(tmp_path / "bad.csv", [row(made, 0, "cat", "dog"), row(made, 1, "cat", "dog", id="nobody")])
    with pytest.raises(HeadstartError):
        made.correct(bad)
    assert sorted(path.relative_to(made.cache) for path in made.cache.rglob("*")) == before
