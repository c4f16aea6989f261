"""Choices are named by what differs."""

from typing import Any

import pytest

from lightning_brats.comparison.choices import factors, label, option
from lightning_brats.experiment import configure
from lightning_brats.runs import flat


def settings(*overrides: str) -> dict[str, Any]:
    return flat(configure(*overrides))


def labels(*runs: tuple[str, ...]) -> list[str]:
    return [label(levels) for levels in factors([settings(*overrides) for overrides in runs])]


def test_models_are_named_by_themselves() -> None:
    runs = ("model=unet", "seed=1"), ("model=attention_unet", "seed=2"), ("model=unet", "seed=3")
    assert labels(*runs) == ["unet", "attention_unet", "unet"]


def test_a_grid_names_both_factors() -> None:
    runs = [
        (f"model={model}", f"loss={loss}")
        for model in ("unet", "vnet")
        for loss in ("dice_ce", "dice_focal")
    ]
    assert labels(*runs) == [
        "unet · dice_ce",
        "unet · dice_focal",
        "vnet · dice_ce",
        "vnet · dice_focal",
    ]


def test_a_value_is_named_with_its_key() -> None:
    runs = ("optimizer.lr=0.001",), ("optimizer.lr=0.01",), ("optimizer=sgd", "optimizer.lr=0.01")
    assert labels(*runs) == ["adamw · lr=0.001", "adamw · lr=0.01", "sgd · lr=0.01"]


def test_chance_places_and_machines_make_no_choice() -> None:
    runs = (
        ("seed=0", "fold=0", "runs=a", "queue.workers=0", "trainer.threads=1", "tracking=none"),
        ("seed=1", "fold=1", "runs=b", "queue.workers=4", "trainer.threads=2", "data.root=/x"),
    )
    assert labels(*runs) == ["", ""]


def test_a_setting_that_follows_another_is_not_named_twice() -> None:
    runs = [
        (f"queue.patch_size={size}", f"inference.patch_size={size}")
        for size in ("[16,16,16]", "[32,32,32]")
    ]
    assert labels(*runs) == ["patch_size=[16, 16, 16]", "patch_size=[32, 32, 32]"]


@pytest.mark.parametrize(
    ("override", "group", "expected"),
    [
        ("augmentation=full", "augmentation", "full"),
        ("augmentation=none", "augmentation", "none"),
        ("postprocess=default", "postprocess", "default"),
        ("postprocess=tuned", "postprocess", "tuned"),
        ("optimizer=sgd", "optimizer", "sgd"),
        ("scheduler=cosine", "scheduler", "cosine"),
        ("inference=flips", "inference", "flips"),
        ("preprocess=clinical", "preprocess", "clinical"),
        ("model=dynunet", "model", "dynunet"),
    ],
)
def test_options_are_recognised(override: str, group: str, expected: str) -> None:
    assert option(settings(override), group) == expected


def test_an_option_is_recognised_with_a_changed_value() -> None:
    changed = settings("augmentation=standard", "augmentation.transforms.noise.p=0.9")
    assert option(changed, "augmentation") == "standard"


def test_an_unknown_part_is_named_by_its_target() -> None:
    assert option({"loss._target_": "somebody.losses.Novel"}, "loss") == "Novel"
    assert option({}, "loss") == "–"


def test_a_classical_method_sets_no_training_setting_apart() -> None:
    """It has neither loss nor queue; a network beside it keeps its short name."""
    method = {"model_name": "kmeans", "model._target_": "K", "model.clusters": 8, "seed": 0}
    shared = {k: v for k, v in settings("model=unet").items() if k.startswith("preprocess.")}
    runs = [settings("model=unet"), {**method, **shared}, {**method, **shared, "model.clusters": 9}]
    assert [label(levels) for levels in factors(runs)] == [
        "unet",
        "kmeans · clusters=8",
        "kmeans · clusters=9",
    ]


def test_a_network_within_a_network_is_told_by_its_settings() -> None:
    own = settings("model=seg_gan", "model.generator.size=tiny")
    del own["model_name"]
    assert option(own, "model") == "seg_gan"
    runs = ("model=seg_gan",), ("model=seg_gan", "model@model.generator=attention_unet")
    assert labels(*runs) == ["skip=concat", "skip=attention"]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("0.00490523", "0.005", ["lr=0.00491", "lr=0.005"]),
        ("0.0049052", "0.0049053", ["lr=0.0049052", "lr=0.0049053"]),
        ("0.00490521112", "0.00490521113", ["lr=0.00490521112", "lr=0.00490521113"]),
    ],
)
def test_numbers_are_as_short_as_they_stay_different(
    first: str, second: str, shown: list[str]
) -> None:
    assert labels((f"optimizer.lr={first}",), (f"optimizer.lr={second}",)) == shown
