"""A cross-validation as one result: out-of-fold scores, and the ensemble of the folds' networks."""

from lightning_brats.crossval.ensemble import combine, tune_together
from lightning_brats.crossval.folds import FoldRun, fold_runs, out_of_fold
from lightning_brats.crossval.stored import ENSEMBLE, StoredEnsemble

__all__ = [
    "ENSEMBLE",
    "FoldRun",
    "StoredEnsemble",
    "combine",
    "fold_runs",
    "out_of_fold",
    "tune_together",
]
