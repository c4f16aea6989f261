"""Several networks explained together, and what stands in a modality's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from saliency_samples import Weighted, make_model, make_task, unet

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.errors import ConfigError
from lightning_brats.explain import explain_case
from lightning_brats.explain.command import explain
from lightning_brats.explain.maps import GRADIENTS, gate_captions
from lightning_brats.explain.networks import Networks, joined
from lightning_brats.explain.occlusion import taken_away
from lightning_brats.prediction import Model

pytest.importorskip("captum")

WEIGHTS = [[0.0, 10.0, 0, 0]] * 3
"""All regions are where T1 with contrast is above 1, with a bias of -10."""


def test_a_modality_is_replaced_by_its_mean_in_the_brain() -> None:
    image = torch.tensor([[0.0, 0, 2, 4], [0, 3, 1, 5]]).view(2, 1, 1, 4)
    gone = taken_away(image, 0, zero=False)
    assert gone.flatten().tolist() == [0, 2, 2, 2, 0, 3, 1, 5]
    assert taken_away(image, 0, zero=True).flatten().tolist() == [0, 0, 0, 0, 0, 3, 1, 5]
    assert image.flatten().tolist() == [0, 0, 2, 4, 0, 3, 1, 5]


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_zero_only_where_training_had_it(tmp_path: Path, dropout: float) -> None:
    model, case = make_model(tmp_path, Weighted(WEIGHTS, [-10.0] * 3))
    model.task.context["modality_dropout"] = dropout
    model = replace(model, preprocess=Preprocess(normalisation="minmax"))
    networks = Networks([model], case)
    image = networks.images[0].numpy()
    brain = (image != 0).any(0)
    filled = 0 if dropout else image[1][brain].mean()
    assert dropout or filled > 0.1  # what is 0 after such a normalisation is the darkest tissue
    _, soft = networks.segment(without=1)
    assert np.allclose(soft[:, brain], 1 / (1 + np.exp(10 - 10 * filled)), rtol=1e-4)
    assert ("as where one was missing" if dropout else "its mean") in networks.notes()[0]


def two(tmp_path: Path, *nets: torch.nn.Module) -> tuple[list[Model], Case]:
    """Networks that were trained on the same case."""
    first, case = make_model(tmp_path, nets[0])
    others = [make_task(net) for net in nets[1:]]
    for task in others:
        task.context = first.task.context
    return [first, *(replace(first, task=task) for task in others)], case


def test_networks_are_averaged(tmp_path: Path) -> None:
    """The second network's log-odds are twice the first's, so both find the same."""
    steep = [[0.0, 20.0, 0, 0]] * 3
    nets = Weighted(WEIGHTS, [-10.0] * 3), Weighted(steep, [-20.0] * 3)
    models, case = two(tmp_path, *nets)
    first, second = (explain_case(model, case, "ET", steps=2) for model in models)
    both = explain_case(models, case, "ET", steps=2)
    assert np.array_equal(both.labels, first.labels)
    assert np.abs(first.maps[GRADIENTS]).max() > 0
    assert np.allclose(second.maps[GRADIENTS], 2 * first.maps[GRADIENTS], atol=1e-5)
    assert both.maps.keys() == first.maps.keys()
    assert np.allclose(both.maps[GRADIENTS], 1.5 * first.maps[GRADIENTS], atol=1e-5)
    for column in ("probability", "probability_without"):
        alone = [found.contributions[column] for found in (first, second)]
        assert np.allclose(both.contributions[column], (alone[0] + alone[1]) / 2, rtol=1e-4)
    assert any("means over 2 networks" in note for note in both.notes)


def test_each_network_s_gates_are_named(tmp_path: Path) -> None:
    models, case = two(tmp_path, unet(2), Weighted(WEIGHTS, [-10.0] * 3), unet(3))
    seen: list[tuple[str, int, int]] = []
    found = explain_case(models, case, "WT", steps=1, progress=lambda *told: seen.append(told))
    gates = [name for name in found.maps if name.startswith("attention_gate")]
    assert gates == [f"attention_gate_{level}_network_{n}" for n in (1, 3) for level in (1, 2)]
    alone = explain_case(models[2], case, "WT", steps=1)
    assert np.allclose(
        found.maps["attention_gate_2_network_3"], alone.maps["attention_gate_2"], atol=1e-6
    )
    assert any(note.startswith("Network 2: There are no attention gates") for note in found.notes)
    assert ("gradients", 3, 3) in seen


def test_notes_that_all_share_are_said_once() -> None:
    assert joined([["a", "b"]]) == ["a", "b"]
    assert joined([["a", "b"], ["a", "c"]]) == ["a", "Network 1: b", "Network 2: c"]


def test_captions_number_the_gates() -> None:
    names = [f"attention_gate_{level}" for level in (1, 2, 3, 4, 5)]
    assert list(gate_captions([*names, "grad_cam"]).values()) == [
        "attention gate 1\n(coarsest)",
        "attention gate 2",
        "attention gate 3",
        "attention gate 4",
        "attention gate 5\n(finest)",
    ]
    several = [f"attention_gate_{level}_network_{n}" for n in (1, 2) for level in (1, 2, 3)]
    assert list(gate_captions(several).values()) == [
        "network 1,\nattention gate 1\n(coarsest)",
        "network 1,\nattention gate 3\n(finest)",
        "network 2,\nattention gate 1\n(coarsest)",
        "network 2,\nattention gate 3\n(finest)",
    ]


def test_networks_on_different_grids_have_no_mean(tmp_path: Path) -> None:
    model, case = make_model(tmp_path, Weighted(WEIGHTS, [-10.0] * 3))
    wider = replace(model, preprocess=Preprocess(margin=1))
    with pytest.raises(ConfigError, match=r"different grids[\s\S]*one of them at a time"):
        Networks([model, wider], case)


def test_random_weights_are_compared_with_one_network(tmp_path: Path) -> None:
    for name in ("a.ckpt", "b.ckpt"):
        (tmp_path / name).touch()
    named = f"checkpoint=[{tmp_path}/a.ckpt,{tmp_path}/b.ckpt]"
    settings = [named, "input=x", "output=y", "sanity=true"]
    with (
        initialize_config_module("lightning_brats.configs", version_base="1.3"),
        pytest.raises(ConfigError, match="2 checkpoints are named"),
    ):
        explain(compose("explain", settings))
