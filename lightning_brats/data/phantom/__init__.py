"""The embedded digital brain phantom: data to run everything on when no data set is at hand.

Real anatomy, made-up tumours and a made-up scanner. Scores on it say that the code works; they
mean nothing clinically.
"""

from lightning_brats.data.phantom.cohorts import of_cohorts
from lightning_brats.data.phantom.dataset import write_phantom
from lightning_brats.data.phantom.layouts import LAYOUTS
from lightning_brats.data.phantom.patient import PhantomCase, make_case
from lightning_brats.data.phantom.recipe import default_root
from lightning_brats.data.phantom.scanner import Scanner

__all__ = [
    "LAYOUTS",
    "PhantomCase",
    "Scanner",
    "default_root",
    "make_case",
    "of_cohorts",
    "write_phantom",
]
