"""Any weighted sum of the losses of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from lightning_brats import losses
from lightning_brats.errors import ConfigError
from lightning_brats.losses.terms import Head, Loss

OTHERS = ("compound", "deeply_supervised", "foreground_weights")
"""Public names of the package in small letters that are no terms."""
Term = str | Mapping[str, Any] | Callable[..., nn.Module]


def compound(
    head: Head, *, terms: Sequence[Term], weights: Sequence[float] | None = None
) -> nn.Module:
    """A weighted sum of losses.

    Args:
        head: `regions` or `labels`.
        terms: Losses of `lightning_brats.losses` by name (`dice`), or with settings
            (`{name: tversky, batch: true}`), or anything that makes a loss of a head.
        weights: One a term; all 1 by default.

    Raises:
        ConfigError: No terms, not one weight a term, or a name that is no loss.
    """
    weights = [1.0] * len(terms) if weights is None else weights
    if not terms or len(weights) != len(terms):
        raise ConfigError(
            f"{len(terms)} terms of a loss with {len(weights)} weights",
            remedy="e.g. loss=compound 'loss.terms=[dice,ce]' 'loss.weights=[1,0.5]'",
        )
    return Loss(head, [_build(term, head) for term in terms], weights)


def _build(term: Term, head: Head) -> nn.Module:
    if callable(term):
        return term(head)
    settings = {"name": term} if isinstance(term, str) else dict(term)
    name = settings.pop("name", None)
    choices = [public for public in losses.__all__ if public.islower() and public not in OTHERS]
    if name not in choices:
        raise ConfigError(f"unknown loss '{name}'", remedy=f"choose from {', '.join(choices)}")
    try:
        return getattr(losses, name)(head, **settings)
    except TypeError as error:
        raise ConfigError(f"the loss '{name}' cannot be built: {error}") from error
