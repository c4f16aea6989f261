"""The audit of a data set: what is in it, what was left out, and what deserves a look."""

from lightning_brats.audit.page import write_audit

__all__ = ["write_audit"]
