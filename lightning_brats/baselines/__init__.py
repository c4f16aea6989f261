"""Classical segmenters: no network, no GPU; the floor that networks have to rise above."""

from lightning_brats.baselines.forest import RandomForest
from lightning_brats.baselines.fuzzy import FuzzyCMeans
from lightning_brats.baselines.growing import RegionGrowing
from lightning_brats.baselines.kmeans import KMeansClusters
from lightning_brats.baselines.refinement import Refinement
from lightning_brats.baselines.scan import Baseline, Scan, Scans
from lightning_brats.baselines.svm import LinearMachine
from lightning_brats.baselines.thresholding import Thresholding

__all__ = [
    "Baseline",
    "FuzzyCMeans",
    "KMeansClusters",
    "LinearMachine",
    "RandomForest",
    "Refinement",
    "RegionGrowing",
    "Scan",
    "Scans",
    "Thresholding",
]
