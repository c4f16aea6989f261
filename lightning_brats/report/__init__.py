"""A finished run as one self-contained page."""

from lightning_brats.report.page import write_report

__all__ = ["write_report"]
