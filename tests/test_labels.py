import pickle

import numpy as np
import pytest

from lightning_brats.labels import (
    SCHEMES,
    LabelScheme,
    UnknownLabelsError,
    labels_from_regions,
    named_scheme,
    region_masks,
)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_file_coding_survives_the_round_trip(scheme: LabelScheme) -> None:
    stored = np.array(sorted(scheme.codes), np.uint8)
    assert np.array_equal(scheme.encode(scheme.decode(stored)), stored)


def test_label_four_means_what_the_release_says() -> None:
    four = np.array([4], np.uint8)
    assert SCHEMES["brats2018"].decode(four) == [3]  # enhancing tumour until 2022
    assert SCHEMES["brats2024"].decode(four) == [4]  # resection cavity in 2024


def test_releases_that_share_a_coding() -> None:
    assert named_scheme("brats2021") is named_scheme("brats2018") is SCHEMES["brats2018"]
    assert named_scheme("brats1999") is None


def test_a_2023_mask_holding_four_is_refused() -> None:
    with pytest.raises(UnknownLabelsError, match=r"\[4\].*brats2023"):
        SCHEMES["brats2023"].decode(np.array([0, 1, 4]))


def test_values_that_are_not_whole_numbers_are_refused() -> None:
    with pytest.raises(UnknownLabelsError, match=r"0\.5"):
        SCHEMES["brats2023"].decode(np.array([0.0, 0.5]))


def test_msd_swaps_oedema_and_core() -> None:
    assert SCHEMES["msd"].decode(np.array([1, 2, 3])).tolist() == [2, 1, 3]


def test_several_values_may_share_a_label_and_the_first_is_written() -> None:
    scheme = LabelScheme("2015", {1: 1, 2: 2, 3: 1, 4: 3})
    assert scheme.decode(np.array([1, 2, 3, 4])).tolist() == [1, 2, 1, 3]
    assert scheme.encode(np.array([1, 2, 3])).tolist() == [1, 2, 4]


def test_a_label_without_a_value_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="RC"):
        SCHEMES["brats2023"].encode(np.array([4]))


def test_regions_nest_and_exclude_the_cavity() -> None:
    masks = region_masks(np.array([0, 1, 2, 3, 4]), ("WT", "TC", "ET", "RC"))
    assert masks.astype(int).tolist() == [
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("order", [("WT", "TC", "ET", "RC"), ("RC", "ET", "TC", "WT")])
def test_labels_return_from_regions_in_any_order(order: tuple[str, ...]) -> None:
    labels = np.array([[[0, 1, 2, 3, 4]]])
    assert np.array_equal(labels_from_regions(region_masks(labels, order), order), labels)


def test_cavity_never_overwrites_tumour() -> None:
    masks = np.array([[[[1]]], [[[1]]]], bool)
    assert labels_from_regions(masks, ("ET", "RC")).item() == 3


def test_schemes_can_be_sent_to_workers() -> None:
    assert pickle.loads(pickle.dumps(SCHEMES["brats2024"])) == SCHEMES["brats2024"]


def test_a_scheme_must_map_to_internal_labels() -> None:
    with pytest.raises(ValueError, match=r"\[7\]"):
        LabelScheme("wrong", {1: 7})
