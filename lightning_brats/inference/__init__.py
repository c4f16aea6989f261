"""From a network to a case's probabilities, and to how sure it is of them."""

from lightning_brats.inference.ensemble import majority_vote, staple
from lightning_brats.inference.uncertainty import entropy, mutual_information, predicted_dice
from lightning_brats.inference.window import SlidingWindow

__all__ = [
    "SlidingWindow",
    "entropy",
    "majority_vote",
    "mutual_information",
    "predicted_dice",
    "staple",
]
