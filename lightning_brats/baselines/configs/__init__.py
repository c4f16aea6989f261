"""Hydra group `method` of `experiments/baseline.py`."""
