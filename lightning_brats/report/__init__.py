"""Pages for people: of a finished run, and of an evaluation; self-contained HTML files."""

from lightning_brats.report.evaluation import Subject, write_evaluation
from lightning_brats.report.page import write_report

__all__ = ["Subject", "write_evaluation", "write_report"]
