"""Modalities that go missing in training."""

import numpy as np
import pytest
import torch
import torchio as tio
from hydra import compose, initialize_config_module

from lightning_brats.assembly import with_dropout
from lightning_brats.augment import augment_
from lightning_brats.data import transforms as own
from lightning_brats.data.transforms import RandomModalityDropout, draw_plan
from lightning_brats.errors import ConfigError
from lightning_brats.parts import build, plain


def test_each_goes_with_its_probability_and_one_stays() -> None:
    torch.manual_seed(0)
    dropout = RandomModalityDropout(0.5)
    drawn = np.array([[bool(gone) for gone in dropout.get_params(3)] for _ in range(4000)])
    assert not drawn.all(1).any()
    # All three would go once in eight times; then one of them stays: 1/2 - 1/8 · 1/3.
    assert np.allclose(drawn.mean(0), 1 / 2 - 1 / 24, atol=0.03)
    patterns = np.unique(drawn, axis=0)
    assert len(patterns) == 7


def test_a_missing_channel_is_zero_and_the_others_untouched() -> None:
    torch.manual_seed(0)
    image = torch.randn(4, 5, 6, 7)
    subject = tio.Subject(image=tio.ScalarImage(tensor=image.clone()))
    after = own.ModalityDropout({"image": [None, True, None, True]})(subject).image.data
    assert torch.equal(after[[0, 2]], image[[0, 2]])
    assert after[[1, 3]].abs().max() == 0


def test_it_works_on_the_training_device_too() -> None:
    image = torch.randn(1, 4, 5, 6, 7)
    before, mask = image.clone(), torch.zeros(1, 1, 5, 6, 7, dtype=torch.uint8)
    torch.manual_seed(3)
    plan, history = draw_plan([RandomModalityDropout(0.6)], image.shape[1:])
    augment_(image, mask, [plan])
    gone = [bool(value) for value in history[0].missing["image"]]
    assert 0 < sum(gone) < 4
    for channel, missing in enumerate(gone):
        expected = torch.zeros(5, 6, 7) if missing else before[0, channel]
        assert torch.equal(image[0, channel], expected)


@pytest.mark.parametrize("name", ["none", "flips", "standard", "custom"])
def test_it_joins_any_augmentation(name: str) -> None:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", [f"augmentation={name}"])
    chain = build(with_dropout(plain(cfg.augmentation), 0.3))
    found = [step for step in chain.transforms if isinstance(step, RandomModalityDropout)]
    assert [step.p_per_channel for step in found] == [0.3]
    last = [s for s in chain.transforms if not isinstance(s, own.ClearBackground)][-1]
    assert last is found[0]
    assert with_dropout(plain(cfg.augmentation), 0.0) == plain(cfg.augmentation)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="modality_dropout"):
        with_dropout({"_target_": "x"}, share)


def test_an_augmentation_of_another_make_is_not_replaced() -> None:
    with pytest.raises(ConfigError, match=r"cannot be added to torchio\.RandomFlip"):
        with_dropout({"_target_": "torchio.RandomFlip"}, 0.3)
