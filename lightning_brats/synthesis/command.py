"""`experiments/synthesize.py`: write new cases with a trained generator.

Data, preparation and split are those of the generator's run, so that donors and hosts are its
training patients and nobody else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from lightning_brats import __version__, console, runs
from lightning_brats.data.audit import check_writable
from lightning_brats.data.splits import Split
from lightning_brats.data.synthetic import MARK, RECORD
from lightning_brats.errors import ConfigError
from lightning_brats.figures import save_png
from lightning_brats.parts import build
from lightning_brats.preparation import fingerprint
from lightning_brats.synthesis.condition import View
from lightning_brats.synthesis.generator import Generator, load_generator
from lightning_brats.synthesis.hosts import Host
from lightning_brats.synthesis.picture import Row, rows_of_slices
from lightning_brats.synthesis.planning import Planner, Variation
from lightning_brats.synthesis.writing import (
    blended,
    check_modalities,
    one_scheme,
    record,
    write_case,
)

PICTURED = 3
"""Cases that are drawn."""
DECISIVE = ("checkpoint_sha256", "data_fingerprint", "trained_on", "seed", "transforms")
"""Facts that decide what the cases of a batch are."""


def run(cfg: DictConfig) -> Path:
    """Write `cfg.count` cases into `cfg.output`; returns it.

    Raises:
        ConfigError: There is no generator, or its preparation cannot be undone.
        DataError: The data are not where they were, or the folder holds something.
    """
    console.quieten()
    output = Path(cfg.output).resolve()
    if output.exists() and any(output.iterdir()):
        raise ConfigError("the folder is not empty", file=output, remedy="name a new one")
    if cfg.count < 1:
        raise ConfigError(f"count={cfg.count}: at least one case is needed")
    transforms = build(cfg.transforms)
    generator = load_generator(Path(cfg.checkpoint), cfg.root)
    cases = generator.cases
    scheme = one_scheme(cases)
    check_modalities(generator.data.source.modalities)
    entries = [generator.data.cache.get(case) for case in cases]
    centres = generator.task.centres
    planner = Planner(cases, entries, transforms, cfg.seed, lambda e: Host.of(e, centres))
    check_writable(output.parent)
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    facts = _facts(generator, cfg)
    known = _write_cases(partial, planner, generator, cfg.count, facts)
    runs.write_json(partial / RECORD, record(scheme, facts, known))
    _split_with(generator, known).save(partial / "split.json")
    if output.exists():
        output.rmdir()
    partial.rename(output)
    _print(output, known, generator)
    return output


def _write_cases(
    folder: Path, planner: Planner, generator: Generator, count: int, facts: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write all cases, and pictures of the first; what is known of each."""
    known = {}
    batch, seed = batch_of(facts), facts["seed"]
    with console.counting("writing", "synthetic cases") as progress:
        progress(0, count)
        for number in range(count):
            name = f"{MARK}{batch}-{number:04d}"
            variation, host = planner.draw(number)
            image = _write(folder / name, variation, host, generator, seed + number)
            known[name] = _described(variation, seed + number)
            if number < PICTURED:
                figure = _picture(name, variation, host, image, generator)
                save_png(figure, folder / f"slices-{number + 1}.png", dpi=100)
            progress(number + 1, count)
    return known


def batch_of(facts: Mapping[str, Any]) -> str:
    """What the identifiers of a batch have in common: short hash of all that decides its cases.

    Their number is left out: a larger batch begins with the cases of a smaller one.

    Args:
        facts: What `synthetic.json` says of all cases.
    """
    decisive = json.dumps([facts[name] for name in DECISIVE], sort_keys=True)
    return hashlib.sha256(decisive.encode()).hexdigest()[:6]


def _write(
    folder: Path, variation: Variation, host: Host, generator: Generator, seed: int
) -> np.ndarray:
    """Generate and write one case; its prepared image (C, x, y, z)."""
    task = generator.task
    seen = host.view(variation.labels, task.net.margin)
    hole = seen.hole[0, 0].numpy()
    seen = View(*(value.to(task.device) for value in vars(seen).values()))
    image = blended(host.image, task.fill(seen, seed)[0].cpu().numpy(), hole, task.net.margin)
    prepared = generator.data.cache.get(variation.host).prepared()
    write_case(folder, variation.host, prepared, image, variation.labels, hole)
    return image


def _picture(
    name: str, variation: Variation, host: Host, image: np.ndarray, generator: Generator
) -> Figure:
    own = np.asarray(generator.data.cache.get(variation.host).mask)
    rows = [
        Row(f"{variation.host.case}, real", host.image, own),
        Row(f"{name}: the tumour of {variation.donor.case}, varied", image, variation.labels),
    ]
    return rows_of_slices(rows, list(variation.host.images), host.spacing)


def _described(variation: Variation, seed: int) -> dict[str, Any]:
    donor, host = variation.donor, variation.host
    return {
        "patient": host.patient,
        "cohort": host.cohort,
        "grade": host.grade,
        "donor": donor.case,
        "donor_patient": donor.patient,
        "host": host.case,
        "host_patient": host.patient,
        "seed": seed,
        **variation.facts,
    }


def _facts(generator: Generator, cfg: DictConfig) -> dict[str, Any]:
    data = generator.data
    trained_on = sorted({case.patient for case in generator.cases})
    used = [case for part in ("train", "validation", "test") for case in data.cases(part)]
    return {
        "made_by": f"lightning_brats {__version__}",
        "run": f"{generator.run.parent.name}/{generator.run.name}",
        "checkpoint": generator.checkpoint.name,
        "checkpoint_sha256": generator.digest,
        "data": data.source.name,
        "data_fingerprint": fingerprint(used, data.cache),
        "seed": cfg.seed,
        "transforms": OmegaConf.to_container(cfg.transforms, resolve=True),
        "trained_on": trained_on,
    }


def _split_with(generator: Generator, known: Mapping[str, Mapping[str, Any]]) -> Split:
    """The run's split with the new cases among those to train on."""
    split = generator.data.split
    hosts = {name: facts["patient"] for name, facts in known.items()}
    return replace(split, train=(*split.train, *hosts), patients={**split.patients, **hosts})


def _print(output: Path, known: dict[str, dict[str, Any]], generator: Generator) -> None:
    donors = len({facts["donor_patient"] for facts in known.values()})
    hosts = len({facts["host_patient"] for facts in known.values()})
    say = console.console.print
    say(f"{len(known)} synthetic cases: tumours of {donors} patients in the brains of {hosts}")
    roots = [str(root) for root in generator.data.source.roots] or ["/real"]
    shown = ",".join([*roots, str(output)])
    say(f"  cases       {console.shown(output)}", markup=False)
    say(f"  look at     {console.shown(output / 'slices-1.png')}", markup=False)
    say(f"  train with  python experiments/run.py 'data.roots=[{shown}]'", markup=False)
    say("They are only ever trained on; scores count real cases alone.")
