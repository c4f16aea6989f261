"""Hydra groups: one YAML an option."""
