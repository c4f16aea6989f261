"""Losses against a second implementation in NumPy, values worked out by hand, and extremes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from loss_samples import HEADS, NAMES, Reference, build, sample
from monai.losses.unified_focal_loss import AsymmetricFocalLoss, AsymmetricFocalTverskyLoss
from torch import nn

from lightning_brats import losses
from lightning_brats.errors import ConfigError


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(5, 4, 6), (7, 9)])
def test_formula(name: str, head: str, shape: tuple[int, ...]) -> None:
    logits, target = sample(head, shape)
    expected = getattr(Reference(head, logits, target), name)()
    assert build(name, head)(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_dice_by_hand() -> None:
    # One region, four voxels at probability ½, two of them true: 2·1 / (2 + 2)
    logits, target = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1, 1], [0, 0]]]])
    assert losses.dice("regions")(logits, target).item() == pytest.approx(0.5, abs=1e-5)
    # squares: 2·1 / (4·¼ + 2)
    squared = losses.dice("regions", squared=True)(logits, target)
    assert squared.item() == pytest.approx(1 - 2 / 3, abs=1e-5)
    assert losses.ce("regions")(logits, target).item() == pytest.approx(np.log(2))


def test_dice_over_the_batch_by_hand() -> None:
    # First item: all four voxels true and found. Second: four false voxels found.
    logits = torch.full((2, 1, 2, 2), 50.0)
    target = torch.tensor([1, 0])[:, None, None, None].expand(2, 1, 2, 2)
    each = losses.dice("regions")(logits, target)
    whole = losses.dice("regions", batch=True)(logits, target)
    assert each.item() == pytest.approx((0 + 1) / 2, abs=1e-4)
    assert whole.item() == pytest.approx(1 - 2 * 4 / (8 + 4), abs=1e-4)


def test_weights_of_the_terms() -> None:
    logits, target = sample("labels")
    dice, ce = (loss("labels")(logits, target) for loss in (losses.dice, losses.ce))
    mixed = losses.dice_ce("labels", dice_weight=0.25, ce_weight=3.0)(logits, target)
    torch.testing.assert_close(mixed, 0.25 * dice + 3 * ce)


def test_foreground_weights_one_a_class() -> None:
    logits, target = sample("labels")
    one = losses.weighted_ce("labels", foreground=7.0)(logits, target)
    many = losses.weighted_ce("labels", foreground=[7.0, 7.0, 7.0])(logits, target)
    torch.testing.assert_close(one, many)
    with pytest.raises(ConfigError, match="2 foreground weights for 3 labels"):
        losses.weighted_ce("labels", foreground=[1.0, 2.0])(logits, target)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
def test_right_beats_wrong(name: str, head: str) -> None:
    _, target = sample(head)
    if head == "labels":
        right = nn.functional.one_hot(target[:, 0].long(), 4).movedim(-1, 1).float()
    else:
        right = target.float()
    loss = build(name, head)
    good, bad = loss(20 * right - 10, target), loss(10 - 20 * right, target)
    assert 0 <= good < 0.01 < 0.3 < bad


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("foreground", ["none", "one voxel", "all"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 6e4])
def test_extremes_stay_finite(
    name: str, head: str, dtype: torch.dtype, foreground: str, scale: float
) -> None:
    sign = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1)).sign()
    logits = (scale * sign).to(dtype).requires_grad_()
    target = torch.zeros(2, 1 if head == "labels" else 3, 4, 4, 4, dtype=torch.uint8)
    if foreground == "one voxel":
        target[0, 0, 1, 2, 3] = 1
    elif foreground == "all":
        target[:] = 1
    loss = build(name, head)(logits, target)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.ndim == 0
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NAMES)
def test_single_precision_under_autocast(name: str, head: str) -> None:
    logits, target = sample(head)
    loss = build(name, head)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(logits, target)
    assert torch.equal(inside, loss(logits, target))


def test_an_absent_region_costs_nothing() -> None:
    logits, target = torch.full((1, 3, 4, 4, 4), -30.0), torch.zeros(1, 3, 4, 4, 4)
    assert losses.dice("regions")(logits, target) < 1e-4
    assert losses.dice_ce("regions")(logits, target) < 1e-4


def test_unknown_head() -> None:
    with pytest.raises(ConfigError, match="regions, labels"):
        losses.dice("region")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"focal", "dice_focal"}))
def test_gradients_in_double_precision(name: str, head: str) -> None:
    logits, target = sample(head, (3, 2, 3), outputs=3)
    loss = build(name, head)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.double().requires_grad_())


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["focal", "dice_focal"])
def test_gradients_of_what_computes_in_single_precision(name: str, head: str) -> None:
    logits, target = sample(head, (3, 2, 3), outputs=3)
    logits = logits.requires_grad_()
    loss = build(name, head)
    (found,) = torch.autograd.grad(loss(logits, target), logits)
    reference = getattr(Reference, name)
    moved, step = logits.detach().double(), 1e-5
    for index in np.ndindex(*logits.shape):
        sides = []
        for sign in (1, -1):
            moved[index] += sign * step
            sides.append(reference(Reference(head, moved, target)))
            moved[index] -= sign * step
        slope = (sides[0] - sides[1]) / (2 * step)
        assert found[index].item() == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_top_k_by_hand() -> None:
    # Ten voxels of one region, all false, with logits 0 … 9: the two hardest are 8 and 9.
    logits = torch.arange(10.0).view(1, 1, 2, 5)
    target = torch.zeros(1, 1, 2, 5)
    loss = losses.top_k_ce("regions", share=0.2)(logits, target).item()
    assert loss == pytest.approx(np.log1p(np.exp([8, 9])).mean())
    everything = losses.top_k_ce("regions", share=1.0)(logits, target)
    torch.testing.assert_close(everything, losses.ce("regions")(logits, target))
    least = losses.top_k_ce("regions", share=1e-9)(logits, target).item()
    assert least == pytest.approx(np.log1p(np.exp(9)))
    with pytest.raises(ConfigError, match=r"\(0, 1\]"):
        losses.top_k_ce("regions", share=0)


def test_focal_tversky_with_gamma_one_is_tversky() -> None:
    logits, target = sample("labels")
    for batch in (False, True):
        one = losses.focal_tversky("labels", gamma=1, batch=batch)(logits, target)
        torch.testing.assert_close(one, losses.tversky("labels", batch=batch)(logits, target))


def test_unified_focal_is_monais_but_for_the_mean_over_classes() -> None:
    logits, target = sample("labels", outputs=2)
    classes = target.long()
    probabilities = logits.softmax(1)
    masks = nn.functional.one_hot(classes[:, 0], 2).movedim(-1, 1).float()
    for weight, factor, term in (
        (1.0, 2, AsymmetricFocalLoss(delta=0.6, gamma=0.5)),  # theirs halves it, see our docstring
        (0.0, 1, AsymmetricFocalTverskyLoss(delta=0.6, gamma=0.5)),
    ):
        ours = losses.unified_focal("labels", weight=weight)(logits, target)
        torch.testing.assert_close(ours, factor * term(probabilities, masks), rtol=1e-4, atol=0)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("name", ["dice", "dice_ce", "tversky", "generalised_dice", "dice_focal"])
def test_the_batch_switch_counts_over_the_batch(name: str, batch: bool) -> None:
    logits, target = sample("regions")
    logits[1] += 2
    target[1, 1:] = False
    whole = [a.movedim(0, 1).flatten(1, 2)[None] for a in (logits, target)]  # one long patch
    found = build(name, "regions", batch=batch)(logits, target)
    equal = torch.isclose(found, build(name, "regions")(*whole), rtol=1e-5)
    assert equal == batch


def test_compound_sums_named_losses() -> None:
    logits, target = sample("regions")
    dice, focal, tversky = (
        loss(logits, target)
        for loss in (
            losses.dice("regions"),
            losses.focal("regions"),
            losses.tversky("regions", batch=True),
        )
    )
    terms = ["dice", {"name": "tversky", "batch": True}, losses.focal]
    found = build("compound", "regions", terms=terms[:2], weights=[0.5, 2])
    torch.testing.assert_close(found(logits, target), 0.5 * dice + 2 * tversky)
    found = losses.compound("regions", terms=terms)
    torch.testing.assert_close(found(logits, target), dice + tversky + focal)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": ["dice"], "weights": [1, 2]}, "1 terms of a loss with 2 weights"),
        ({"terms": []}, "0 terms"),
        ({"terms": ["dise"]}, "unknown loss 'dise'[^$]*choose from ce, dice,"),
        ({"terms": ["compound"]}, "unknown loss 'compound'"),
        ({"terms": [{"name": "dice", "bach": True}]}, "'dice' cannot be built: .*bach"),
    ],
)
def test_compounds_that_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        losses.compound("regions", **settings)


def test_weights_by_hand() -> None:
    voxels = [900, 25, 0, 75, 0]  # background, core, oedema, enhancing, cavity
    labels = losses.foreground_weights(voxels[:4], "labels", ())
    assert labels == pytest.approx([6, 100, 12**0.5])  # what no case has gets the limit
    regions = losses.foreground_weights(voxels, "regions", ("WT", "TC", "ET"))
    assert regions == pytest.approx([3, 3, (925 / 75) ** 0.5])
    full = losses.foreground_weights(voxels, "regions", ("WT",), power=1, limit=5)
    assert full == [5]
    assert losses.foreground_weights(voxels, "regions", ("ET",), power=0) == [1]
    with pytest.raises(ConfigError, match="no labelled training voxels"):
        losses.foreground_weights([0, 0], "labels", ())


def test_unresolved_weights_are_named() -> None:
    with pytest.raises(ConfigError, match="'auto'"):
        losses.weighted_ce("regions", foreground="auto")
