"""Several time points of one patient: volumes, growth, and what changed where."""

from lightning_brats.followup.course import FollowUp, TimePoint, follow_up
from lightning_brats.followup.writing import write_follow_up

__all__ = ["FollowUp", "TimePoint", "follow_up", "write_follow_up"]
