"""Networks: the suite's own. Those of peers come in through configs alone."""

from lightning_brats.models.cost import Cost, describe
from lightning_brats.models.fcnn import FCNN
from lightning_brats.models.unet import SIZES, UNet

__all__ = ["FCNN", "SIZES", "Cost", "UNet", "describe"]
