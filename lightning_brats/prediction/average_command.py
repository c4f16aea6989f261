"""`experiments/predict.py probabilities_from=[A,B] output=DIR`: masks from saved probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.audit import check_writable
from lightning_brats.data.case import Case
from lightning_brats.errors import ConfigError
from lightning_brats.labels import SCHEMES, LabelScheme, named_scheme
from lightning_brats.prediction.averaging import Averaging
from lightning_brats.prediction.cases import BadCases
from lightning_brats.prediction.output import Output, chosen_postprocess, finish


def average(cfg: DictConfig) -> Path:
    """Average what several predictions saved of the same cases, and write masks.

    Args:
        cfg: `configs/predict.yaml`, with `probabilities_from`.

    Returns:
        The folder of masks.

    Raises:
        ConfigError: A setting cannot be used.
        DataError: A file cannot be read, or does not go with the others.
    """
    bad = BadCases(cfg.on_bad_case)
    averaging = _averaging(cfg)
    output = Path(cfg.output)
    if output.resolve() in [folder.resolve() for folder in averaging.folders]:
        raise ConfigError("the output would replace what is averaged", file=output)
    check_writable(output)
    names, folders = averaging.cases(), averaging.folders
    print(
        f"averaging the probabilities of {len(names)} cases in {len(folders)} folders", flush=True
    )
    written: Output | None = None
    done = 0
    for number, name in enumerate(names, 1):
        with bad.guard(Case(name, name, {}, SCHEMES["brats2023"])):
            volumes = averaging.read(name)
            case, found = averaging(name, volumes)
            if written is None:
                chosen = averaging.chosen(volumes)
                print(f"  post-processing: {chosen}", flush=True)
                regions = tuple(found.dice)
                written = Output(output, regions, chosen, cfg.probabilities, cfg.uncertainty)
            print(f"  {number}/{len(names)}  {written.add(case, found)}", flush=True)
            done += 1
    return finish(bad, done, written, folders[0])


def _averaging(cfg: DictConfig) -> Averaging:
    for key in ("checkpoint", "input"):
        if not OmegaConf.is_missing(cfg, key):
            raise ConfigError(
                f"{key} and probabilities_from are both given",
                remedy="average what is saved, or predict anew",
            )
    if cfg.figures:
        raise ConfigError(
            "probabilities alone have no images to draw", remedy="figures=false, or predict anew"
        )
    if cfg.ensemble != "mean":
        raise ConfigError(
            f"ensemble={cfg.ensemble}: saved probabilities are averaged", remedy="ensemble=mean"
        )
    given: Any = OmegaConf.to_container(cfg)
    named = given["probabilities_from"]
    return Averaging(
        [Path(folder) for folder in ([named] if isinstance(named, str) else named)],
        given["weights"],
        given["regions"],
        coding(given["labels"]),
        chosen_postprocess(cfg),
        cfg.uncertainty,
    )


def coding(labels: str | Mapping[int, int] | None) -> LabelScheme | None:
    """A label coding by name, or from file value → internal label.

    Raises:
        ConfigError: There is none of that name.
    """
    if labels is None:
        return None
    if not isinstance(labels, str):
        return LabelScheme("custom", {int(value): int(label) for value, label in labels.items()})
    scheme = named_scheme(labels)
    if scheme is None:
        raise ConfigError(
            f"the label coding '{labels}' is unknown",
            remedy=f"labels is one of {', '.join(SCHEMES)}, or a map like {{1:1,2:2,4:3}}",
        )
    return scheme
