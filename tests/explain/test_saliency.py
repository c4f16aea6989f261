"""Gradients against networks whose answer is known, and against random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from saliency_samples import Weighted, make_model, make_task, unet
from torch.nn import functional as F

from lightning_brats.errors import ConfigError
from lightning_brats.explain import explain_case
from lightning_brats.explain.focus import best_centre, log_odds, make_focus
from lightning_brats.explain.layers import middle_layer
from lightning_brats.explain.maps import CAM, GRADIENTS
from lightning_brats.explain.saliency import blurred, grad_cam, integrated_gradients
from lightning_brats.explain.sanity import randomised, rank_correlation, sanity_check
from lightning_brats.export.network import OnnxNetwork, ProgramNetwork

pytest.importorskip("captum")

WEIGHTS = [[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 3.0, -1.0, 0.0]]


def test_the_window_holds_most_of_the_region() -> None:
    inside = np.zeros((40, 40, 40), bool)
    inside[2:6, 2:6, 2:6] = True  # 64 voxels here
    inside[30:35, 30:35, 20:24] = True  # 100 there
    task = make_task(Weighted(WEIGHTS, [0, 0, 0]), (16, 16, 16))
    image = torch.arange(4 * 40**3).view(4, 40, 40, 40)
    focus = make_focus(task, image, inside)
    assert focus.inside.sum() == 100
    assert torch.equal(focus.image[0], image[:, *focus.box].float())
    placed = focus.placed(focus.inside)
    assert np.array_equal(placed > 0, inside & (np.indices(inside.shape)[0] > 20))
    assert best_centre(inside[:10, :10, :10], (16, 16, 16)) == (3, 3, 3)


def test_a_volume_smaller_than_the_window_is_padded() -> None:
    inside = np.zeros((6, 20, 8), bool)
    inside[2, 10, 3] = True
    task = make_task(Weighted(WEIGHTS, [0, 0, 0]), (16, 16, 16))
    image = torch.rand(4, 6, 20, 8) + 1
    focus = make_focus(task, image, inside)
    assert focus.image.shape == (1, 4, 16, 16, 16)
    assert (focus.image != 0).sum() == 4 * 6 * 16 * 8
    assert np.argwhere(focus.placed(focus.inside)).tolist() == [[2, 10, 3]]
    back = focus.placed(focus.image[0])
    assert np.allclose(back[:, 2, 10, 3], image[:, 2, 10, 3])


def test_integrated_gradients_of_a_sum_are_its_terms() -> None:
    """A linear network's shares are weight × what blurring takes away / voxels."""
    torch.manual_seed(0)
    inside = np.zeros((8, 8, 8), bool)
    inside[3:5, 3:5, 3:6] = True
    task = make_task(Weighted(WEIGHTS, [0.3, 0, 0.2]), (8, 8, 8))
    image = torch.randn(4, 8, 8, 8)
    shares, missed = integrated_gradients(task, "ET", make_focus(task, image, inside), 4)
    sharp = (image - blurred(image[None])[0]).numpy()
    expected = np.zeros((4, 8, 8, 8))
    for channel, weight in enumerate(WEIGHTS[2]):
        expected[channel] = weight * sharp[channel] * inside / inside.sum()
    assert np.allclose(shares.numpy(), expected, atol=1e-6)
    assert missed < 1e-4


def test_blurring_stays_in_the_brain_and_keeps_its_level() -> None:
    image = torch.zeros(1, 2, 24, 20, 16)
    image[:, 0, 3:20, 3:15, 4:12] = 5.0
    image[:, 1] = torch.where(image[:, 0] > 0, torch.randn(24, 20, 16), 0.0)
    found = blurred(image)
    assert torch.allclose(found[:, 0], image[:, 0], atol=1e-4)  # constant throughout the brain
    assert (found[:, 1] != 0).sum() == (image[:, 0] > 0).sum()
    assert found[:, 1].std() < 0.2 * image[:, 1].std()
    flat = blurred(torch.randn(1, 1, 16, 16, 1))
    assert flat.shape == (1, 1, 16, 16, 1)


def test_log_odds_of_both_heads() -> None:
    logits = torch.randn(2, 4, 3, 3, 3)
    labels = make_task(Weighted(WEIGHTS, [0, 0, 0]), head="labels")
    p = logits.softmax(1)
    core = p[:, 1] + p[:, 3]  # NETC and ET
    assert torch.allclose(log_odds(logits, labels, "TC"), torch.logit(core), atol=1e-5)
    regions = make_task(Weighted(WEIGHTS, [0, 0, 0]))
    assert torch.equal(log_odds(logits[:, :3], regions, "TC"), logits[:, 1])


def test_grad_cam_by_hand() -> None:
    """Mean gradient of each feature times the feature, summed, and only what is positive."""
    task = make_task(Weighted(WEIGHTS, [0, 0, 0]), (8, 8, 8))
    task.net = torch.nn.Sequential(torch.nn.Conv3d(4, 2, 1, bias=False), Weighted2())
    with torch.no_grad():
        task.net[0].weight.copy_(torch.eye(4)[:2].view(2, 4, 1, 1, 1))
    inside = np.ones((8, 8, 8), bool)
    image = torch.randn(4, 8, 8, 8)
    found = grad_cam(task, "ET", make_focus(task, image, inside), "0")
    features = image[:2]  # ET = 2 × the first − the second feature
    expected = F.relu(2 * features[0] - features[1])
    assert torch.allclose(found, expected / expected.max(), atol=1e-5)


class Weighted2(Weighted):
    """From two features to three logits."""

    def __init__(self) -> None:
        super().__init__([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]], [0.0, 0.0, 0.0])


def test_the_layer_is_the_coarsest_with_places_to_tell_apart() -> None:
    net = unet()
    task = make_task(net, (16, 16, 16))
    chosen = middle_layer(task, torch.zeros(1, 4, 16, 16, 16))
    # Grids of 16, 8 and 4 voxels: 8 it is, and the decoder comes after the encoder.
    assert chosen.startswith("decoder.0.")
    coarse = middle_layer(task, torch.zeros(1, 4, 32, 32, 32))
    assert coarse.startswith("encoder.2.")


def test_random_weights_change_the_maps(tmp_path) -> None:
    """The sanity check of Adebayo et al.; the check itself is checked with the same weights."""
    model, case = make_model(tmp_path, unet(1))
    found = explain_case(model, case, "WT", steps=8)
    changed = sanity_check(model.task, found, steps=8)
    assert changed.keys() == found.maps.keys()
    same = {
        name: rank_correlation(values, values, found.image[0] != 0)
        for name, values in found.maps.items()
    }
    assert all(value == pytest.approx(1) for value in same.values())
    assert abs(changed[CAM]) < 0.7
    assert abs(changed[GRADIENTS]) < 0.7
    assert abs(changed["attention_gate_1"]) < 0.9


def test_randomised_leaves_the_network_as_it_is() -> None:
    task = make_task(unet(3))
    before = {name: value.clone() for name, value in task.state_dict().items()}
    state = torch.get_rng_state()
    other = randomised(task)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in task.state_dict().items())
    changed = [n for n, v in other.state_dict().items() if not torch.equal(v, before[n])]
    assert len(changed) > 0.4 * len(before)  # norms start as they were


def test_rank_correlation_is_of_magnitudes() -> None:
    values = np.linspace(0, 1, 27).reshape(3, 3, 3)
    inside = np.ones((3, 3, 3), bool)
    assert rank_correlation(values, -(values**3), inside) == pytest.approx(1)
    assert rank_correlation(values, 1 - values, inside) == pytest.approx(-1)
    assert rank_correlation(values, np.ones_like(values), inside) == 0


def test_what_cannot_be_explained_says_so(tmp_path) -> None:
    model, case = make_model(tmp_path, unet())
    with pytest.raises(ConfigError, match=r"no region 'RC'[\s\S]*WT, TC, ET"):
        explain_case(model, case, "RC")
    with pytest.raises(ConfigError, match=r"no layer 'middle'[\s\S]*encoder\.0\.0"):
        explain_case(model, case, "ET", layer="middle")
    with pytest.raises(ConfigError, match=r"'encoder' only holds others[\s\S]*encoder\.0\.0"):
        explain_case(model, case, "ET", layer="encoder")
    tokens, _ = make_model(tmp_path / "tokens", Tokens(WEIGHTS, [0, 0, 0]))
    with pytest.raises(ConfigError, match=r"'flat' gives no features on a grid[\s\S]*mix"):
        explain_case(tokens, case, "ET", layer="flat")


def test_an_exported_graph_is_refused_before_the_case_is_read(tmp_path) -> None:
    for kind in (OnnxNetwork, ProgramNetwork):
        graph = kind.__new__(kind)
        torch.nn.Module.__init__(graph)
        model, case = make_model(tmp_path / kind.__name__, graph)
        case.images["t1c"].path.unlink()
        with pytest.raises(ConfigError, match="name the checkpoint that it was exported from"):
            explain_case(model, case, "ET")


class Tokens(Weighted):
    """With a layer whose features lie in a row, as a transformer's do."""

    def __init__(self, weights: list[list[float]], bias: list[float]) -> None:
        super().__init__(weights, bias)
        self.flat = torch.nn.Flatten(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.flat(x).view_as(x))
