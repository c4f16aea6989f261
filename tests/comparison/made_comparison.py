"""A comparison made up from random scores, with every table filled by the shortest arithmetic."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.result import COSTS, Comparison
from lightning_brats.comparison.settings import Settings

MODELS, LOSSES = ("attention_unet", "unet"), ("dice_ce", "dice_focal")
GRID = {f"{model} · {loss}": (model, loss) for model in MODELS for loss in LOSSES}
REGIONS = ("WT", "TC", "ET")
SKILL = {"WT": 0.88, "TC": 0.8, "ET": 0.72}
KEYS = ["choice", "region", "metric"]


def make_entries(
    choices: dict[str, tuple[str, str]],
    seeds: tuple[int, ...] = (0, 1, 2),
    cases: tuple[str, ...] = tuple(f"BraTS-GLI-{i:05d}-000" for i in range(24)),
    folder: Path = Path("runs"),
    history: bool = True,
) -> tuple[Entry, ...]:
    """Runs whose choices lie 0.02 Dice apart; one HD95 is infinite."""
    rng = np.random.default_rng(0)
    hardness = {case: float(rng.normal(0, 0.06)) for case in cases}
    entries = []
    for place, (choice, (model, loss)) in enumerate(choices.items()):
        for seed in seeds:
            luck = rng.normal(0, 0.004)
            rows = []
            for case in cases:
                for region, skill in SKILL.items():
                    noise = rng.normal(0, 0.015)
                    dice = skill - 0.02 * place + hardness[case] + luck + noise
                    rows.append((case, region, "dice", float(np.clip(dice, 0, 1))))
                    rows.append((case, region, "hd95", float(60 * (1 - dice))))
            scores = pd.DataFrame(rows, columns=["case", "region", "metric", "value"])
            if place == 1:
                worst = (scores["metric"] == "hd95") & (scores["case"] == cases[0])
                scores.loc[worst & (scores["region"] == "ET"), "value"] = np.inf
            lr = float(10 ** -(3 + 0.1 * (seed + place)))
            entries.append(
                Entry(
                    name=f"{model}-{loss}-{seed}",
                    folder=folder / f"{model}-{loss}-{seed}",
                    choice=choice,
                    seed=seed,
                    fold=None,
                    scores=scores,
                    test_cases=cases,
                    patients={case: case[:15] for case in cases},
                    facts={"protocol": "legacy", "phantom": True},
                    cost={"parameters": 1e6 * (place + 1), "train_seconds": 700.0 - 150 * place},
                    history=_history(place, rng) if history else None,
                    settings={
                        "model_name": model,
                        "loss._target_": f"lightning_brats.losses.{loss}",
                        "optimizer.lr": lr,
                        "seed": seed,
                    },
                )
            )
    return tuple(entries)


def make_comparison(entries: tuple[Entry, ...], **changes: object) -> Comparison:
    """Tables of the entries, in the shape that `Comparison` declares."""
    choices = tuple(dict.fromkeys(entry.choice for entry in entries))
    scores = pd.concat(
        [
            entry.scores.assign(
                choice=entry.choice,
                seed=entry.seed,
                fold=entry.fold,
                patient=entry.scores["case"].map(entry.patients),
            )
            for entry in entries
        ]
    )
    wide = scores.pivot_table("value", ["metric", "region", "case"], "choice", aggfunc="mean")
    wide = wide[list(choices)].clip(upper=400)
    pairs = _pairs(wide, choices)
    found = Comparison(
        choices=choices,
        baseline=choices[-1],
        warnings=("With this protocol nothing is proved.",),
        notes=("An infinite HD95 counts as 374 mm.",),
        scores=scores,
        summary=_summary(scores),
        pairs=pairs,
        ranking=_ranking(wide, choices),
        critical=_critical(wide, choices),
        variance=_variance(),
        power=pairs[["a", "b", "region", "metric"]].assign(
            detectable=0.012, cases_needed=np.inf, seeds_needed=7.0
        ),
        interactions=_interactions(choices),
        cost=_cost(entries, scores, choices),
        subgroups=_subgroups(scores, choices),
        verdicts=(f"{choices[0]} beats {choices[-1]} on ET by 0.06 Dice.", "It costs more."),
        histories=_histories(entries),
        entries=entries,
        settings=Settings(),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def _history(place: int, rng: np.random.Generator) -> pd.DataFrame:
    epochs = np.arange(12)
    rise = 1 - np.exp(-(epochs + 1) / 4)
    columns = {
        f"val/dice_{region}": (skill - 0.02 * place) * rise + rng.normal(0, 0.01, 12)
        for region, skill in SKILL.items()
    }
    table = pd.DataFrame({"epoch": epochs, "step": 50 * (epochs + 1), **columns})
    table["val/dice_mean"] = table[list(columns)].mean(axis=1)
    table["train/loss"] = 1.2 - rise + rng.normal(0, 0.01, 12)
    return table.assign(seconds=40.0 + 12 * place)


def _histories(entries: tuple[Entry, ...]) -> pd.DataFrame:
    tables = []
    for entry in entries:
        if entry.history is None:
            continue
        own = entry.history.assign(seconds_total=entry.history["seconds"].cumsum())
        keys = ["epoch", "step", "seconds_total"]
        names = [name for name in own if "/" in name]
        long = own.melt(keys, names, var_name="name", value_name="value")
        tables.append(long.assign(choice=entry.choice, seed=entry.seed, fold=entry.fold))
    return pd.concat(tables) if tables else pd.DataFrame()


def _summary(scores: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for keys, own in scores.groupby(KEYS):
        values = own.groupby("case")["value"].mean().clip(upper=400)
        means = own["value"].clip(upper=400).groupby(own["seed"]).mean()
        half = 1.96 * values.std() / np.sqrt(len(values))
        low, middle, high = values.quantile([0.25, 0.5, 0.75])
        rows.append(
            dict(zip(KEYS, keys, strict=True))
            | {"mean": values.mean(), "median": middle, "q25": low, "q75": high}
            | {"sd_cases": values.std(), "sd_seeds": means.std()}
            | {"low": values.mean() - half, "high": values.mean() + half}
            | {"n_cases": len(values), "n_seeds": len(means)}
        )
    return pd.DataFrame(rows)


def _pairs(wide: pd.DataFrame, choices: tuple[str, ...]) -> pd.DataFrame:
    rows = []
    for (metric, region), own in wide.groupby(["metric", "region"]):
        sign = 1 if metric == "dice" else -1
        for a, b in combinations(choices, 2):
            values = own[a] - own[b]
            half = 2.07 * values.std() / np.sqrt(len(values))
            p = float(stats.wilcoxon(values).pvalue)
            rows.append(
                {"a": a, "b": b, "region": region, "metric": metric}
                | {"difference": values.mean(), "advantage": sign * values.mean()}
                | {"low": values.mean() - half, "high": values.mean() + half}
                | {"p_wilcoxon": p, "p_permutation": p, "p_seeds": p, "p_holm": min(1, 6 * p)}
                | {"effect": sign * values.mean() / values.std(), "n": len(values)}
                | {"p_better": float((sign * values > 0).mean()), "significant": 6 * p < 0.05}
            )
    return pd.DataFrame(rows)


def _ranking(wide: pd.DataFrame, choices: tuple[str, ...]) -> pd.DataFrame:
    signs = np.where(wide.index.get_level_values("metric") == "dice", -1.0, 1.0)
    ranks = (wide.mul(signs, axis=0)).rank(axis=1).mean()[list(choices)]
    return pd.DataFrame(
        {"choice": choices, "rank": ranks.to_numpy()}
        | {"low": ranks.to_numpy() - 0.2, "high": ranks.to_numpy() + 0.2}
        | {"p_next": [*[0.0004] * (len(choices) - 1), np.nan]}
        | {"first_share": [0.93, *[0.07 / (len(choices) - 1)] * (len(choices) - 1)]}
    )


def _critical(wide: pd.DataFrame, choices: tuple[str, ...]) -> dict:
    if len(choices) < 3:
        return {}
    ranks = dict(zip(choices, np.linspace(1.2, len(choices) - 0.3, len(choices)), strict=True))
    groups = [list(choices[:2]), list(choices[1:3])]
    facts = {"statistic": 31.25, "p": 1e-5, "n": 24, "alpha": 0.05}
    return {"ranks": ranks, "cd": 0.96, "groups": groups, **facts}


def _variance() -> pd.DataFrame:
    shares = {"seed": 0.03, "fold": np.nan, "case": 0.7, "choice": 0.12, "residual": 0.15}
    rows = [
        (region, metric, name, share)
        for metric in ("dice", "hd95")
        for region in REGIONS
        for name, share in shares.items()
    ]
    return pd.DataFrame(rows, columns=["region", "metric", "component", "share"])


def _interactions(choices: tuple[str, ...]) -> pd.DataFrame:
    columns = ["factor_a", "factor_b", "region", "metric", "f", "p", "share"]
    if set(choices) != set(GRID):
        return pd.DataFrame(columns=columns)
    parts = [(region, metric) for metric in ("dice", "hd95") for region in REGIONS]
    rows = [("model", "loss", *part, 1.234, 0.27, 0.02) for part in parts]
    return pd.DataFrame(rows, columns=columns)


def _cost(
    entries: tuple[Entry, ...], scores: pd.DataFrame, choices: tuple[str, ...]
) -> pd.DataFrame:
    means = scores[scores["metric"] == "dice"].groupby("choice")["value"].mean()
    costs = {entry.choice: entry.cost for entry in entries}
    rows = [
        {"choice": choice, "score": means[choice]}
        | {name: costs[choice].get(name, np.nan) for name in COSTS}
        | {f"pareto_{name}": name in costs[choice] and place < 2 for name in COSTS}
        for place, choice in enumerate(choices)
    ]
    return pd.DataFrame(rows)


def _subgroups(scores: pd.DataFrame, choices: tuple[str, ...]) -> pd.DataFrame:
    cases = sorted(set(scores["case"]))
    level = {case: ("small", "large")[i % 2] for i, case in enumerate(cases)}
    table = scores.assign(level=scores["case"].map(level), value=scores["value"].clip(upper=400))
    found = table.groupby(["level", *KEYS])["value"].mean().rename("mean").reset_index()
    best = found["choice"] == choices[0]
    p = np.where(best, 0.01, np.nan)
    return found.assign(group="size", n=len(cases) // 2, best=best, p_holm=p)
