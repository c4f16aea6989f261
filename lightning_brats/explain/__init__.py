"""Why a network segmented a case as it did: gates, saliency, and what each modality contributed."""

from lightning_brats.explain.case import Explanation, explain_case
from lightning_brats.explain.writing import write_explanation

__all__ = ["Explanation", "explain_case", "write_explanation"]
