"""A search space, keyed by what it overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.overrides import key_of, override, value_of

KEYS = {"choices", "low", "high", "step", "log", "type", "when"}


@dataclass(frozen=True)
class Dimension:
    """One choice to make.

    Args:
        key: What it overrides, e.g. `optimizer.lr`.
        name: In the study; a key with several ranges has a name for each.
        distribution: Values it can take; lists and mappings as JSON.
        when: Values of other keys under which it is made.
    """

    key: str
    name: str
    distribution: BaseDistribution
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def applies(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the choices so far call for this one."""
        return all(chosen.get(key) in values for key, values in self.when.items())


class Space:
    """All choices of a search, in the order of the file.

    Args:
        settings: Key → a list of choices; `{low, high, log, step, type}`; `{choices}`; each with
            `when: {key: value or values}` where it depends on another choice; or a list of such
            mappings, for a key whose range depends on another choice.
        fixed: Overrides of every trial, which a `when` may name too.

    Raises:
        ConfigError: An entry cannot be a choice; a `when` names what is not decided before it.
    """

    def __init__(self, settings: Mapping[str, Any], fixed: Sequence[str] = ()) -> None:
        self.fixed = {key_of(text): value_of(text) for text in fixed}
        self.dimensions: list[Dimension] = []
        for key, entry in settings.items():
            self.dimensions += _dimensions(str(key), entry)
        known = set(self.fixed)
        for dimension in self.dimensions:
            unknown = set(dimension.when) - known
            if unknown:
                raise ConfigError(
                    f"space.{dimension.key}: `when` names {', '.join(sorted(unknown))}, which is "
                    "neither fixed nor chosen before it"
                )
            known.add(dimension.key)

    def point(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of a trial that is to try these values; what is not given is drawn.

        Args:
            given: Key → value.

        Raises:
            ConfigError: A key or value is not of this space.
        """
        chosen, parameters, left = {**self.fixed, **given}, {}, dict(given)
        for dimension in self.dimensions:
            if dimension.key not in given or not dimension.applies(chosen):
                continue
            value = _encoded(left.pop(dimension.key))
            if not _holds(dimension.distribution, value):
                raise ConfigError(f"first: {dimension.key}={value} is not in the space")
            parameters[dimension.name] = value
        if left:
            raise ConfigError(f"first: the space has no {', '.join(left)} under the other values")
        return parameters

    def points(self) -> list[dict[str, Any]]:
        """Parameters of every combination there is, the last choice changing fastest.

        Raises:
            ConfigError: A range without a step has no end of values.
        """
        found: list[tuple[dict[str, Any], dict[str, Any]]] = [(dict(self.fixed), {})]
        for dimension in self.dimensions:
            longer = []
            for chosen, parameters in found:
                if not dimension.applies(chosen):
                    longer.append((chosen, parameters))
                    continue
                for value in _values(dimension):
                    own = {dimension.key: _decoded(value)}
                    longer.append((chosen | own, parameters | {dimension.name: value}))
            found = longer
        return [parameters for _, parameters in found]

    def sample(self, trial: Trial) -> list[str]:
        """The overrides that the study's sampler chooses; what was chosen before stays."""
        chosen: dict[str, Any] = dict(self.fixed)
        overrides = []
        for dimension in self.dimensions:
            if dimension.applies(chosen):
                value = _decoded(_suggest(trial, dimension.name, dimension.distribution))
                chosen[dimension.key] = value
                overrides.append(override(dimension.key, value))
        return overrides


def _dimensions(key: str, entry: Any) -> list[Dimension]:
    branches = isinstance(entry, Sequence) and not isinstance(entry, str)
    if branches and entry and all(isinstance(e, Mapping) and "when" in e for e in entry):
        return [_dimension(key, branch, branched=True) for branch in entry]
    return [_dimension(key, entry if isinstance(entry, Mapping) else {"choices": entry})]


def _dimension(key: str, entry: Mapping[str, Any], branched: bool = False) -> Dimension:
    if set(entry) - KEYS:
        unknown = ", ".join(sorted(set(entry) - KEYS))
        raise ConfigError(f"space.{key}: {unknown} is none of {', '.join(sorted(KEYS))}")
    when = {
        str(k): list(v) if isinstance(v, list) else [v] for k, v in entry.get("when", {}).items()
    }
    suffix = ",".join(f"{k}={'|'.join(map(str, v))}" for k, v in when.items())
    name = f"{key}[{suffix}]" if branched else key
    try:
        return Dimension(key, name, _distribution(entry), when)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"space.{key} is no choice ({error})",
            remedy="a list of choices, or {low: 0.1, high: 1, log: true}",
        ) from error


def _distribution(entry: Mapping[str, Any]) -> BaseDistribution:
    if "choices" in entry:
        choices = entry["choices"]
        if not isinstance(choices, list) or not choices:
            raise ValueError("choices must be a list that is not empty")
        return CategoricalDistribution([_encoded(choice) for choice in choices])
    low, high, log = entry["low"], entry["high"], bool(entry.get("log", False))
    step = entry.get("step")
    whole = all(isinstance(v, int) for v in (low, high, step if step is not None else 1))
    if entry.get("type", "int" if whole else "float") == "int":
        return IntDistribution(int(low), int(high), log, int(step or 1))
    return FloatDistribution(float(low), float(high), log, None if step is None else float(step))


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_int(name, low, high, step=step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    low_, high_, step_ = distribution.low, distribution.high, distribution.step
    return trial.suggest_float(name, low_, high_, step=step_, log=distribution.log)


def _values(dimension: Dimension) -> list[Any]:
    """All values of a choice."""
    distribution = dimension.distribution
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is None or distribution.log:
        raise ConfigError(
            f"space.{dimension.key}: sampler=grid needs the values of a range",
            remedy="a list of choices, or {low: 0.1, high: 0.5, step: 0.1}",
        )
    values = [low + index * step for index in range(round((high - low) / step) + 1)]
    return values if isinstance(distribution, IntDistribution) else [round(v, 12) for v in values]


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


def _encoded(choice: Any) -> Any:
    """Optuna keeps scalars alone."""
    return json.dumps(choice) if isinstance(choice, (list, Mapping)) else choice


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
