"""The MNI152 template and its brain, as nilearn ships them: nothing is downloaded.

ICBM 2009a symmetric, T1-weighted, without skull (Fonov et al., NeuroImage 2011), 1 mm, RAS+.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lightning_brats.data.raw.scan import Scan


@lru_cache(maxsize=1)
def template() -> Scan:
    """The brain, 0 around it."""
    from nilearn import datasets  # here, because it takes a second to import

    image = datasets.load_mni152_template(resolution=1)
    return Scan(np.asarray(image.dataobj, np.float32), image.affine)


@lru_cache(maxsize=1)
def template_brain() -> Scan:
    """1 in the brain, ventricles included."""
    from nilearn import datasets

    image = datasets.load_mni152_brain_mask(resolution=1)
    return Scan(np.asarray(image.dataobj, np.float32), image.affine)
