"""New cases from masks: a generator of images, and tumours varied and moved between brains."""

from lightning_brats.synthesis.network import MaskToImage

__all__ = ["MaskToImage"]
