"""Hydra configuration of `sweeps/run.py` and `sweeps/status.py`."""
