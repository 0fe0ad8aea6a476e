"""Which of the folders above a file is its split and which its class: said where it could be another, else asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.contents import IMAGE_SUFFIXES
from headstart.errors import ConfigError
from tests.data.conftest import scan, write_images


def test_of_nested_folders_the_first_is_the_class_unless_an_option_says_otherwise(tmp_path: Path) -> None:
    write_images(tmp_path, "animals/cats/1.png", "animals/dogs/2.png", "vehicles/cars/3.png")
    found = scan(tmp_path)
    assert found.column("label:label") == ["animals", "animals", "vehicles"]
    assert (
        "the class is the first (--class-from last: the one that holds the file)" in found.source.description
    )
    assert scan(tmp_path, class_from="last").column("label:label") == ["cats", "dogs", "cars"]
    paths = ["animals/cats", "animals/dogs", "vehicles/cars"]
    assert scan(tmp_path, class_from="path").column("label:label") == paths


@pytest.mark.parametrize(
    "names",
    [
        ("animals/cats/1.png", "animals/dogs/2.png", "bus/3.png"),
        ("animals/1.png", "animals/cats/2.png", "animals/dogs/3.png", "bus/4.png"),
        ("train/animals/cats/1.png", "train/bus/2.png", "test/bus/3.png"),
    ],
)
def test_classes_at_several_depths_are_refused_with_the_option_that_decides(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    write_images(tmp_path, *names)
    with pytest.raises(ConfigError, match=r"--class-from first \(here 'animals'\), last \('cats'\) or path"):
        scan(tmp_path)
    assert set(scan(tmp_path, class_from="first").column("label:label")) == {"animals", "bus"}
    assert "cats" in scan(tmp_path, class_from="last").column("label:label")
    assert scan(tmp_path, labels=False).table.num_rows == len(names)


def test_a_folder_that_alone_holds_the_classes_is_none(tmp_path: Path) -> None:
    write_images(tmp_path, "PetImages/Cat/0.png", "PetImages/Dog/0.png")
    found = scan(tmp_path)
    assert found.column("label:label") == ["Cat", "Dog"]
    assert found.ids == ["PetImages/Cat/0.png", "PetImages/Dog/0.png"]
    assert "all in 'PetImages/'" in found.source.description
    write_images(tmp_path / "two", "data/x/train/a/1.png", "data/x/test/a/2.png", "data/x/logo.png")
    found = scan(tmp_path / "two")
    assert found.column("split") == ["test", "train"]
    assert "1 file ignored, outside the split folders (data/x/logo.png)" in found.source.description


def test_names_of_files_say_classes_where_all_do(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"train/{pet}.{number}.png" for pet in ("cat", "dog") for number in range(2)))
    write_images(tmp_path, "test/1.png")
    found = scan(tmp_path)
    assert found.column("label:label") == [None, "cat", "cat", "dog", "dog"]
    assert found.source.label_kinds == {"label": "single"}
    assert "classes in their names (cat.0)" in found.source.description
    pets = write_images(tmp_path / "pets", "Abyssinian_1.png", "great_pyrenees_100.png")
    assert "label:label" not in scan(pets).table.column_names  # so are photos named: IMG_0001.jpg
    assert scan(pets, class_from="name").column("label:label") == ["Abyssinian", "great_pyrenees"]


def test_a_folder_that_speaks_of_a_split_is_no_class(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat.0.png", "train/dog.0.png", "test1/1.png")
    with pytest.raises(ConfigError, match="--split-map test1=test,"):
        scan(tmp_path)
    assert scan(tmp_path, split_map={"test1": "test"}).column("split") == ["test", "train", "train"]
    write_images(tmp_path / "n", "news-train/a/1.png", "news-test/a/2.png")
    with pytest.raises(ConfigError, match="--split-map news-test=test,news-train=train,"):
        scan(tmp_path / "n")


def test_files_outside_the_split_folders_are_named_and_never_in_train(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.png", "test/cat/b.png", "logo.png", "extra/.x/c.png")
    found = scan(tmp_path)
    assert found.column("split") == ["test", "train"]
    assert found.source.ignored["outside the split folders"] == 1


def test_what_a_split_map_leaves_out_is_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.png", "test/cat/b.png", "ood/cat/c.png", "ood/cat/d.png")
    found = scan(tmp_path, split_map={"ood": "none"})
    assert found.source.ignored == {"left out by --split-map": 2}


def test_whatever_pillow_decodes_is_an_image(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.png")
    for ending in IMAGE_SUFFIXES:
        (tmp_path / "cat" / f"b{ending.upper()}").write_bytes(b"some")
    assert len(scan(tmp_path).ids) == 1 + len(IMAGE_SUFFIXES)


def test_the_endings_are_those_that_the_installed_pillow_decodes() -> None:
    from PIL import Image

    Image.init()
    vectors = {".ps", ".eps", ".wmf", ".emf"}  # drawn by programs of others
    no_pictures = {".bufr", ".grib", ".h5", ".hdf", ".mpg", ".mpeg", ".iim", ".pdf"}
    decoded = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    assert decoded - vectors - no_pictures - IMAGE_SUFFIXES == set()
    assert decoded >= IMAGE_SUFFIXES - {".heic", ".heif", ".hif", ".mpo"}


def test_a_table_of_images_may_lie_beside_folders_of_any_names(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a.png", "ood/b.png", "test/c.png")
    (tmp_path / "all.csv").write_text("path,label\ntrain/a.png,x\nood/b.png,y\n")
    assert scan(tmp_path, image_column="path").column("label:label") == ["x", "y"]


def test_a_rule_that_is_none_is_refused(tmp_path: Path) -> None:
    from headstart.data.options import check_class_from

    with pytest.raises(ConfigError, match="there are auto, first, last, path, name"):
        check_class_from("folder")
