"""A W&B workspace and report with the views of a comparison."""
