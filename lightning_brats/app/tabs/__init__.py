"""The parts of the page."""

from collections.abc import Callable, Mapping

from lightning_brats.app.tabs.augment import augment
from lightning_brats.app.tabs.compare import compare
from lightning_brats.app.tabs.explain import explain
from lightning_brats.app.tabs.follow_up import follow_patient
from lightning_brats.app.tabs.segment import segment
from lightning_brats.app.tabs.study import study

PARTS: Mapping[str, Callable[[], None]] = {
    "Segment": segment,
    "Compare": compare,
    "Explain": explain,
    "Augment": augment,
    "Follow-up": follow_patient,
    "Study": study,
}
"""Name → what draws it, in order."""
