"""Scores of saved masks: one code path for our models, a peer's predictions and people's masks."""

from lightning_brats.evaluation.pairing import Pairing, pair_files
from lightning_brats.evaluation.references import reference_cases
from lightning_brats.evaluation.scoring import Evaluation, evaluate, examine, write_scores
from lightning_brats.evaluation.summary import summarise

__all__ = [
    "Evaluation",
    "Pairing",
    "evaluate",
    "examine",
    "pair_files",
    "reference_cases",
    "summarise",
    "write_scores",
]
