"""Pages for people: of a finished run, and of an evaluation; self-contained HTML files.

Beside them a run's model card, in Markdown.
"""

from lightning_brats.report.card import write_card
from lightning_brats.report.evaluation import Subject, write_evaluation
from lightning_brats.report.page import write_report

__all__ = ["Subject", "write_card", "write_evaluation", "write_report"]
