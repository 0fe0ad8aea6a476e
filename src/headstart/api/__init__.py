"""The public functions. Their signatures are the options of the commands; their work lies in the packages below."""

from headstart.api.comparison import compare
from headstart.api.corrections import correct
from headstart.api.extraction import extract, open_set
from headstart.api.fitting import fit_head
from headstart.api.inspection import audit, describe_backbone, doctor, prepare_backbone, project, rank
from headstart.api.labelling import cluster, suggest
from headstart.api.pictures import draw_plots
from headstart.api.pipelines import run_pipeline
from headstart.api.prediction import evaluate, export, load_module, load_run, predict, runs
from headstart.api.reporting import report
from headstart.api.retrieval import search
from headstart.api.sharing import pull, push
from headstart.api.tuning import fine_tune

__all__ = [
    "audit",
    "cluster",
    "compare",
    "correct",
    "describe_backbone",
    "doctor",
    "draw_plots",
    "evaluate",
    "export",
    "extract",
    "fine_tune",
    "fit_head",
    "load_module",
    "load_run",
    "open_set",
    "predict",
    "prepare_backbone",
    "project",
    "pull",
    "push",
    "rank",
    "report",
    "run_pipeline",
    "runs",
    "search",
    "suggest",
]
