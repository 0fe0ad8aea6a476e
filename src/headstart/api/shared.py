"""Options that several public functions share; each is said once, here."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from headstart.errors import ConfigError
from headstart.options import Option, Positive, Range, Seed, StrPath
from headstart.places import expanded
from headstart.types import PlotFormat

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]
    from pyarrow import Table

    from headstart.cache.sets import FeatureSet
    from headstart.registry.run import Run

TEACHER = "A teacher"
FEATURES, READING, VIEWS, COMPUTING = "Which features", "Reading the data", "Views", "Computing"
SEARCH, WATCH, WRITING = "Choosing parameters", "Watching", "Writing texts"
PROTOCOLS = "Few labels"


def check_path(text: Any, said: str) -> Any:
    """The path that is meant by a text, with the home folder in the place of its ``~``.

    Refused are what an unset shell variable leaves, which would mean the current folder, and what is not UTF-8.
    """
    if text == "":
        raise ConfigError(f"{said} is empty; is a variable of the shell unset?")
    if any("\ud800" <= letter <= "\udfff" for letter in str(text)):
        raise ConfigError(f"{said}: the name {text!r} is not UTF-8; choose another")
    return expanded(text)


def check_data(text: Any, said: str) -> Any:
    """The same of data, whose name may be of any bytes."""
    return check_path(text, said) if text == "" else text


def place_of(features: "FeatureSet | str", cache: StrPath | None) -> dict[str, Any]:
    """Where a set lies, and which state of it is meant: of one that is open its own, of a name the latest."""
    if isinstance(features, str):
        return {"set": features, "cache": None if cache is None else str(cache), "digest": None}
    return {"set": features.name, "cache": str(features.cache), "digest": features.digest}


def teacher_of(given: Any) -> Any:
    """Where a teacher lies: of a run that is open its directory."""
    if given is None or isinstance(given, str | os.PathLike):
        return given
    if getattr(given, "path", None) is None:
        raise ConfigError(
            "the teacher is a run in memory, and its opinions are kept under what lies on disk: save it"
        )
    return given.path


def read_grid(text: str, said: str) -> dict[str, list[Any]]:
    """The names and values of a sweep."""
    from headstart.fitting.grids import parse_sweep

    return parse_sweep(text)


def read_split_map(given: Any, said: str) -> dict[str, str]:
    """The splits that names of the data's own stand for."""
    from headstart.data.splits import parse_split_map

    return parse_split_map(given)


_BACKBONE = (
    "timm:NAME, torchvision:NAME, hf:NAME, bundled:NAME or py:MODULE:FACTORY; see headstart backbones ls."
)

CacheDir = Annotated[
    StrPath | None,
    Option(
        "The cache: a folder, or s3://, gs:// or az://BUCKET/PREFIX. Default: $HEADSTART_CACHE, else yours.",
        None,
        "DIR",
        "--cache",
        reads=check_path,
    ),
]
Overwrite = Annotated[bool, Option("Replace what lies there.")]
Trust = Annotated[
    str | Sequence[str] | None,
    Option(
        "Import this py: code though only files of others name it: MODULE or MODULE:NAME; repeatable.",
        metavar="NAME",
        repeats=True,
    ),
]
Data = Annotated[
    Any,
    Option(
        "Folder of images or text files, table (CSV, TSV, JSON, Parquet, Arrow, text; - reads one from standard "
        "input), split files, IDX or npz arrays, WebDataset tars, a saved data set, or hf:NAME; most of these also "
        "at s3://, gs://, az:// or, named one by one, https://.",
        metavar="DATA",
        is_argument=True,
        reads=check_data,
    ),
]
SetArgument = Annotated[
    Union["FeatureSet", str], Option("The name of a set.", metavar="SET", is_argument=True)
]
Corrections = Annotated[
    Union[StrPath, Sequence[StrPath], "Table", "DataFrame", None],
    Option("Correct labels first: a corrections.csv; repeatable.", metavar="FILE", repeats=True),
]
RunArgument = Annotated[Union["Run", StrPath], Option("A run directory.", metavar="RUN", is_argument=True)]
Replace = Annotated[bool, Option("Make a set anew where it would become another one.")]
SetName = Annotated[str | None, Option("Name of the set.", metavar="NAME")]
Backbone = Annotated[str, Option(_BACKBONE, metavar="SPEC")]
Backbones = Annotated[
    str | Sequence[str],
    Option(
        f"{_BACKBONE} Several: one after the other, over data that is scanned once.",
        metavar="SPEC",
        repeats=True,
    ),
]
Neighbours = Annotated[
    Literal["exact", "approximate"],
    Option("approximate: on more than 200,000 rows by faiss; its recall is measured and said."),
]
OneTap = Annotated[str | None, Option("Which feature of the set.")]
OneBackbone = Annotated[str | None, Option("Which feature of the set.")]
Label = Annotated[str | None, Option("Which label column.", metavar="NAME")]
SplitSeed = Annotated[int, Option("Of the splits that are made.")]
Calibrate = Annotated[bool, Option("Scale probabilities on validation data.")]
Plots = Annotated[
    PlotFormat,
    Option("Write plots as PNG files, SVG files, both, or not at all."),
]
Offline = Annotated[bool, Option("Open no network socket.", COMPUTING)]
OfflineAlone = Annotated[bool, Option("Open no network socket.")]

# Who teaches a student.
Teacher = Annotated[
    Union["Run", StrPath, None],
    Option(
        "Learn from what this run says of the train samples, too: a run directory, or a table of id and p:CLASS or "
        "logit:CLASS.",
        TEACHER,
        "RUN|FILE",
        reads=check_path,
    ),
]
DistillTemperature = Annotated[
    Annotated[float, Range(gt=0)], Option("Softens what teacher and student say.", TEACHER)
]
DistillAlpha = Annotated[
    Annotated[float, Range(ge=0, le=1)],
    Option("What the teacher counts beside the labels, which count the rest.", TEACHER),
]
TeacherFolds = Annotated[
    Annotated[int, Range(ge=2)] | None,
    Option(
        "Fit the teacher's head on so many folds anew for its opinions on samples that it was trained on.",
        TEACHER,
        "K",
    ),
]

# How data is read.
TextColumn = Annotated[str | None, Option("Texts.", READING, "NAME")]
TextPairColumn = Annotated[str | None, Option("The second text of each pair.", READING, "NAME")]
InputColumn = Annotated[str | None, Option("Texts for which others are to be written.", READING, "NAME")]
TargetColumn = Annotated[
    str | None, Option("What is to be written: a text, or a list of references.", READING, "NAME")
]
ImageColumn = Annotated[str | None, Option("Images: paths or bytes.", READING, "NAME")]
WordsColumn = Annotated[str | None, Option("Lists of words.", READING, "NAME")]
TagsColumn = Annotated[str | None, Option("A tag for each word, such as B-person.", READING, "NAME")]
QuestionColumn = Annotated[str | None, Option("Questions on contexts.", READING, "NAME")]
ContextColumn = Annotated[
    str | None, Option("The text in which the answer to each question stands.", READING, "NAME")
]
AnswersColumn = Annotated[
    str | None, Option("Answers: texts and where they start in their context.", READING, "NAME")
]
LabelColumn = Annotated[str | Sequence[str] | None, Option("One, or several by comma.", READING, "NAMES")]
LabelKind = Annotated[
    str,
    Option(
        "auto, single, multi (several a sample), regression, tags (one a word), spans (answers), seq2seq (texts to "
        "write), or "
        "py:package.module:factory.",
        READING,
    ),
]
LabelSeparator = Annotated[str | None, Option("Between the labels of a cell, for multi.", READING)]
ClassFrom = Annotated[
    str,
    Option(
        "Of files in folders: which folder is the class, first or last (of those below the split), path (all of them), "
        "or name (cat.0.jpg). auto: first, where no other can be meant.",
        READING,
    ),
]
LabelNames = Annotated[
    str | Sequence[str] | None, Option("Of integer labels 0 to n - 1, by comma.", READING, "NAMES")
]
IdColumn = Annotated[str | None, Option("Ids. Default: file and row.", READING, "NAME")]
SplitColumn = Annotated[str | None, Option("train, validation or test.", READING, "NAME")]
Encoding = Annotated[str, Option("Of CSV, TSV, JSON and text files, be they a sample each.", READING)]
Header = Annotated[bool | None, Option("The first row names the columns. Default: detected.", READING)]
Columns = Annotated[
    str | Sequence[str] | None, Option("Of a CSV or TSV: the names of all, by comma.", READING, "NAMES")
]
Delimiter = Annotated[
    str | None, Option("Between the cells of a CSV or TSV; tab, space. Default: detected.", READING)
]
Quoting = Annotated[
    str, Option("auto, double (quotes enclose cells) or none (they are characters like others).", READING)
]
GroupColumn = Annotated[
    str | None,
    Option("What is in one split together. Default: the image, of image and text.", READING, "NAME"),
]
SplitMap = Annotated[
    Mapping[str, str] | str | None,
    Option(
        "The data's own names of splits, by comma, as eval=validation or extra=none (left out).",
        READING,
        "NAME=SPLIT",
        reads=read_split_map,
    ),
]
Streaming = Annotated[
    bool | None,
    Option("Read an hf: data set without keeping it. Default: where it is large.", READING),
]

# Which features of a backbone are meant: all of it is part of the recipe.
Taps = Annotated[
    str | Sequence[str] | None,
    Option(
        "By comma: pooler, joint, sentence, or layer.pooling: last.mean, -4.cls, last.cls+mean.", FEATURES
    ),
]
Normalize = Annotated[
    bool | None,
    Option("Scale each vector to length 1. Default: as the model's authors do.", FEATURES),
]
Prompt = Annotated[
    str | None,
    Option("Put before each text: words, or the name of one of the model's own prompts.", FEATURES),
]
Precision = Annotated[str, Option("auto, fp32, bf16, fp16, or int8 (CPU).", FEATURES)]
Dtype = Annotated[str | None, Option("Stored as float16 or float32. Default: as computed.", FEATURES)]
MaxLength = Annotated[Positive | None, Option("Tokens a text is cut to.", FEATURES)]
OnLong = Annotated[
    str,
    Option(
        "Of texts that are longer: truncate (cut), windows (the mean over overlapping parts), skip (leave them out, by "
        "name), or refuse.",
        FEATURES,
    ),
]
ImageSize = Annotated[Positive | None, Option("Side of the image, pixels.", FEATURES)]
CropPct = Annotated[
    Annotated[float, Range(gt=0, le=1)] | None, Option("Share the centre crop keeps.", FEATURES)
]
Weights = Annotated[
    StrPath | None,
    Option("Local weights for a timm: or torchvision: backbone.", FEATURES, "FILE"),
]

# On how many labels.
Shots = Annotated[
    Sequence[int] | None, Option("Few-shot: so many samples of each class.", PROTOCOLS, "1,2,4")
]
Curve = Annotated[
    Sequence[int | str] | None,
    Option("Learning curve: numbers of train samples, or shares of them.", PROTOCOLS, "100,1000 or 1%,10%"),
]

# How texts are written.
NumBeams = Annotated[
    Annotated[int, Range(ge=1, le=128)], Option("Of texts to write: 1 is greedy, more are beams.", WRITING)
]
NumBeamsOfRun = Annotated[
    Annotated[int, Range(ge=1, le=128)] | None,
    Option("Of texts to write: 1 is greedy, more are beams. Default: the run's.", WRITING),
]
MaxNewTokens = Annotated[
    Annotated[int, Range(ge=1, le=100_000)] | None,
    Option("Of texts to write, at most. Default: as the texts of the training ask for.", WRITING),
]

# Which augmented views are kept beside the plain feature.
Views = Annotated[
    Annotated[int, Range(ge=0, le=1000)],
    Option("Changed views of each sample to extract as well.", VIEWS, "N"),
]
Augment = Annotated[str, Option("What changes them: default, randaugment or py:MODULE:FUNCTION.", VIEWS)]
ViewSeed = Annotated[Seed, Option("Of what is drawn for them.", VIEWS)]

# How features are computed: none of it changes a number.
Format = Annotated[str, Option("Of new shards: hdf5 (speed) or parquet (exchange).", COMPUTING)]
Device = Annotated[str, Option("auto, cpu, cuda, cuda:1, mps …", COMPUTING)]
Runtime = Annotated[
    str,
    Option(
        "What runs the model: torch, openvino, or auto: on a CPU openvino where it is exact and the faster one.",
        COMPUTING,
    ),
]
BatchSize = Annotated[Positive | None, Option("Samples a batch; changes no feature.", COMPUTING)]
Workers = Annotated[
    Annotated[int, Range(ge=1, le=256)] | None,
    Option("Processes that share the work. Default: one a GPU, one on a CPU.", COMPUTING, "N"),
]
WorkerRange = Annotated[
    int | str | None,
    Option(
        "Processes that share the work. Default: one a GPU, one on a CPU; of a cluster one per node or GPU. There "
        "MIN:MAX adds workers while there is work for them.",
        COMPUTING,
        "N|MIN:MAX",
    ),
]
Engine = Annotated[
    str, Option("Where to compute: local, or ray: a Ray cluster whose nodes share the cache.", COMPUTING)
]
RayAddress = Annotated[
    str | None,
    Option(
        "The cluster that --engine ray joins; auto finds one on this machine. Default: one is started, and stopped "
        "at the end.",
        COMPUTING,
        "HOST:PORT",
    ),
]
GpusPerWorker = Annotated[
    float | None,
    Option("Of each worker on a cluster; 0.5 lets two share one. Default: none.", COMPUTING, "N"),
]

# Where trials of a search are trained.
TrialEngine = Annotated[
    str,
    Option(
        "Where trials of --sweep are trained: local, or ray: a cluster whose nodes share the cache.", SEARCH
    ),
]
TrialAddress = Annotated[
    str | None,
    Option(
        "The cluster of --engine ray; auto finds one on this machine. Default: one is started, and stopped at the end.",
        SEARCH,
        "HOST:PORT",
    ),
]
TrialGpus = Annotated[float | None, Option("Of each trial on a cluster. Default: none.", SEARCH, "N")]
TrialWorkers = Annotated[
    Annotated[int, Range(ge=1, le=256)] | None,
    Option("Trials at once on a cluster. Default: one a node or GPU.", SEARCH, "N"),
]
