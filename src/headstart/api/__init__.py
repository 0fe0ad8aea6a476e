"""The public functions. Their signatures are the options of the commands; their work lies in the packages below."""

from headstart.api.comparison import compare
from headstart.api.extraction import extract, open_set
from headstart.api.fitting import fit_head, load_run
from headstart.api.pipelines import run_pipeline
from headstart.api.prediction import predict
from headstart.api.tuning import fine_tune

__all__ = [
    "compare",
    "extract",
    "fine_tune",
    "fit_head",
    "load_run",
    "open_set",
    "predict",
    "run_pipeline",
]
