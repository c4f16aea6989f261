"""From NIfTI folders to batches of patches."""
