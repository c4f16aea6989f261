"""A scanner's own data: registration, brain extraction, bias field, noise, DICOM.

`steps.py` says what can be chosen; `chain.py` runs it. Only what is chosen is imported, so that
those whose data are prepared already do not wait for SimpleITK.
"""

from lightning_brats.data.raw.steps import BrainSource, RawSteps

__all__ = ["BrainSource", "RawSteps"]
