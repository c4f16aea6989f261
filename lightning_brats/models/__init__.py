"""Networks: the suite's own. Those of peers come in through configs alone."""

from lightning_brats.models.cost import Cost, describe
from lightning_brats.models.encoder_decoder import EncoderDecoder
from lightning_brats.models.fcnn import FCNN
from lightning_brats.models.gan import PatchDiscriminator, SegGAN, segmenter
from lightning_brats.models.unet import SIZES, UNet

__all__ = [
    "FCNN",
    "SIZES",
    "Cost",
    "EncoderDecoder",
    "PatchDiscriminator",
    "SegGAN",
    "UNet",
    "describe",
    "segmenter",
]
