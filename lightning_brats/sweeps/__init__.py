"""Many runs as one Optuna study: grids to compare, searches to tune, on any number of GPUs.

A trial of a search and a cell of a grid are the same thing: a run of its own, in a process of its
own, that a worker took from the study.
"""
