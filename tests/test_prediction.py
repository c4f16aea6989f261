"""Segmenting new cases: one network, several, their files, and what happens to bad cases."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from conftest import LPS, write_case
from hydra import compose, initialize_config_module
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from lightning_brats.data.datamodule import from_files, volume_loader
from lightning_brats.data.index import index_dataset
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import BratsError, ConfigError, DataError
from lightning_brats.inference import SlidingWindow, staple
from lightning_brats.labels import MODALITIES, SCHEMES, labels_from_regions, region_masks
from lightning_brats.models import FCNN
from lightning_brats.postprocess import DropSmall, Postprocess
from lightning_brats.prediction import PredictionWriter, context, find_checkpoints, predict
from lightning_brats.prediction.models import load_task
from lightning_brats.task import SegmentationTask

PLAIN = Postprocess()
REGIONS = ("WT", "TC", "ET")


def checkpoint(
    path: Path,
    seed: int = 0,
    head: str = "regions",
    modalities: Sequence[str] = MODALITIES,
    regions: Sequence[str] = REGIONS,
    margin: int = 0,
    postprocess: Postprocess = PLAIN,
) -> Path:
    """A network with random weights, saved as a run saves it."""
    torch.manual_seed(seed)
    case = write_case(path.parent / "trained_on", path.stem).with_modalities(modalities)
    preprocess = Preprocess(margin=margin)
    stored = context(CaseSource("x", (case,)), preprocess) | {"postprocess": postprocess.to_dict()}
    net = FCNN(len(modalities), len(regions) if head == "regions" else 4)
    patch = 16 + 8 * (seed % 2)
    window = {"_target_": "lightning_brats.inference.SlidingWindow", "patch_size": [patch] * 3}
    task = SegmentationTask(net, head=head, regions=regions, inference=window, context=stored)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks that differ in patch, margin (so in their crop) and head."""
    root = tmp_path_factory.mktemp("models")
    return {
        "a": checkpoint(root / "a.ckpt", 1),
        "b": checkpoint(root / "b.ckpt", 2, margin=2),
        "c": checkpoint(root / "c.ckpt", 3, head="labels", margin=1),
        "d": checkpoint(root / "d.ckpt", 4, head="labels"),
    }


AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])
FILES = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}


def write_brats(root: Path, cases: int, affine: np.ndarray = AFFINE) -> Path:
    """Unlabelled cases as BraTS 2021 lays them out."""
    for number in range(cases):
        case = write_case(root, f"BraTS2021_{number:05}", seed=number, affine=affine)
        for modality, ref in case.images.items():
            ref.path.rename(ref.path.with_name(f"{case.case}_{FILES[modality]}.nii.gz"))
        case.mask.unlink()
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brats(tmp_path_factory.mktemp("data"), 3)


def run(output: Path, source: Path, *checkpoints: Path, **settings: object) -> Path:
    """What `experiments/predict.py` does with these settings."""
    named = {
        "checkpoint": f"[{','.join(map(str, checkpoints))}]",
        "input": source,
        "output": output,
        "precision": 32,
        "accelerator": "cpu",
    }
    chosen = {key: value for key, value in (named | settings).items() if value is not None}
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("predict", [f"{key}={value}" for key, value in chosen.items()])
    return predict(cfg)


def arrays(folder: Path, ending: str = "") -> dict[str, np.ndarray]:
    """Volumes of a folder by case."""
    found = {}
    for path in sorted(folder.glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        if (ending and name.endswith(ending)) or (not ending and len(name.split("_")) == 2):
            found[name.removesuffix(ending)] = nib.load(path).get_fdata()
    assert found
    return found


def labels(mask: np.ndarray) -> np.ndarray:
    return SCHEMES["brats2018"].decode(mask)


def test_one_network_predicts_as_lightning_does(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    """An independent way to the masks: Lightning's loop, as at the end of a run."""
    for name in ("a", "c"):
        run(tmp_path / name, data, models[name])
        task = load_task(models[name])
        task.inference = SlidingWindow(task.inference.patch_size, precision="32")
        cases = index_dataset(data, require_masks=False)
        preprocess = Preprocess(**task.context["preprocess"])
        loader = volume_loader(cases, partial(from_files, preprocess), 0)
        writer = PredictionWriter(tmp_path / f"{name}_trainer", PLAIN)
        pl.Trainer(accelerator="cpu", logger=False, callbacks=[writer]).predict(
            task, loader, return_predictions=False
        )
        own, expected = arrays(tmp_path / name), arrays(tmp_path / f"{name}_trainer")
        assert own.keys() == expected.keys()
        for case, mask in own.items():
            assert mask.any()
            assert np.array_equal(mask, expected[case])


@pytest.mark.parametrize("ensemble", ["mean", "vote", "staple"])
@pytest.mark.parametrize("name", ["a", "d"])
def test_an_ensemble_of_one_is_its_member(
    models: dict[str, Path], data: Path, tmp_path: Path, name: str, ensemble: str
) -> None:
    run(tmp_path / "one", data, models[name])
    again = arrays(run(tmp_path / "ensemble", data, models[name], ensemble=ensemble))
    for case, mask in arrays(tmp_path / "one").items():
        assert np.array_equal(mask, again[case])


def test_the_mean_of_different_crops_and_heads_by_hand(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    chosen = [models[name] for name in "abc"]
    for path in chosen:
        run(tmp_path / path.stem, data, path, probabilities="true")
    masks = arrays(run(tmp_path / "all", data, *chosen, probabilities="true"))
    soft = arrays(tmp_path / "all", "_probabilities")
    each = [arrays(tmp_path / path.stem, "_probabilities") for path in chosen]
    for case, mask in masks.items():
        mean = np.mean([found[case] for found in each], axis=0)
        assert soft[case].shape == (*mask.shape, 3)
        assert np.abs(soft[case] - mean).max() < 2 / 2**15
        expected = labels_from_regions(np.moveaxis(mean > 0.5, -1, 0), REGIONS)
        clear = np.abs(mean - 0.5).min(-1) > 1e-4  # beyond the rounding of stored probabilities
        assert np.array_equal(labels(mask)[clear], expected[clear])
        assert clear.mean() > 0.5


def test_votes_are_counted_on_one_grid(models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    chosen = [models[name] for name in "abc"]
    each = [arrays(run(tmp_path / path.stem, data, path)) for path in chosen]
    voted = arrays(run(tmp_path / "vote", data, *chosen, ensemble="vote"))
    fused = arrays(run(tmp_path / "staple", data, *chosen, ensemble="staple"))
    for case, mask in voted.items():
        votes = sum(region_masks(labels(found[case]), REGIONS).astype(int) for found in each)
        assert np.array_equal(labels(mask), labels_from_regions(votes >= 2, REGIONS))
        weighed = staple([labels(found[case]) for found in each], REGIONS)
        assert (labels(fused[case]) == weighed).mean() > 0.999  # boxes differ, STAPLE sees those


AFFINES = {
    "LPS": LPS,
    "RAS": np.eye(4),
    "PIR": np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]),
    "oblique": np.array([[0.98, -0.17, 0, 9], [0.17, 0.98, 0, -5], [0, 0, 2, 3], [0, 0, 0, 1.0]]),
}


@pytest.mark.parametrize("name", AFFINES)
def test_outputs_lie_on_the_input_s_own_grid(
    models: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """A volume stored in another order of axes has the same mask, stored in that order."""
    write_brats(tmp_path / "ras" / "in", 1, np.eye(4))
    shutil.copytree(tmp_path / "ras" / "in", tmp_path / "turned" / "in")
    affine = AFFINES[name]
    turn = ornt_transform(axcodes2ornt("RAS"), io_orientation(affine))
    for path in (tmp_path / "turned").rglob("*.nii.gz"):
        voxels = np.asarray(nib.load(path).dataobj)
        turned = nib.orientations.apply_orientation(voxels, turn)
        nib.save(nib.Nifti1Image(turned, affine), path)
    for folder in ("ras", "turned"):
        output, chosen = tmp_path / folder / "out", (models["a"], models["b"])
        run(output, tmp_path / folder / "in", *chosen, probabilities="true", uncertainty="true")
    source = nib.load(next((tmp_path / "turned" / "in").rglob("*_t1.nii.gz")))
    names = sorted(p.name for p in (tmp_path / "turned" / "out").glob("*.nii.gz"))
    assert names == [
        "BraTS2021_00000.nii.gz",
        "BraTS2021_00000_entropy.nii.gz",
        "BraTS2021_00000_mutual_information.nii.gz",
        "BraTS2021_00000_probabilities.nii.gz",
    ]
    for file in names:
        turned = nib.load(tmp_path / "turned" / "out" / file)
        assert turned.shape[:3] == source.shape
        assert np.allclose(turned.affine, source.affine, atol=1e-5)
        plain = nib.load(tmp_path / "ras" / "out" / file).get_fdata()
        expected = nib.orientations.apply_orientation(plain, turn)
        assert expected.any()
        assert np.array_equal(turned.get_fdata(), expected)


def test_the_table_says_what_the_masks_hold(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    options = {"probabilities": "true", "uncertainty": "true"}
    masks = arrays(run(tmp_path, data, models["a"], models["b"], **options))
    soft = arrays(tmp_path, "_probabilities")
    entropy = arrays(tmp_path, "_entropy")
    mutual = arrays(tmp_path, "_mutual_information")
    table = pd.read_csv(tmp_path / "predictions.csv").set_index("case")
    assert list(table.index) == list(masks)
    for case, mask in masks.items():
        for number, region in enumerate(REGIONS):
            inside = region_masks(labels(mask), [region])[0]
            millilitres = inside.sum() * (2 * 2 * 3) / 1000
            assert table.loc[case, f"{region}_ml"] == pytest.approx(millilitres, rel=1e-5)
            p = soft[case][..., number]
            chosen = p > 0.5
            dice = 2 * p[chosen].sum() / (p.sum() + chosen.sum())
            found = table.loc[case, f"{region}_predicted_dice"]
            assert found == pytest.approx(dice, abs=1e-3)
        p = np.clip(soft[case], 1e-12, 1 - 1e-12)
        by_hand = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(-1)
        assert np.abs(entropy[case] - by_hand).max() < 2e-3
        assert table.loc[case, "tumour_entropy"] == pytest.approx(
            by_hand[labels(mask) > 0].mean(), abs=2e-3
        )
        assert (mutual[case] >= 0).all()
        assert (mutual[case] <= entropy[case] + 1e-5).all()


def test_flips_of_one_network_disagree(models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    """Mutual information over the eight mirror images, by hand."""
    case = index_dataset(data, require_masks=False)[0]
    run(tmp_path, case.images["t1c"].path.parent, models["a"], tta="flips", uncertainty="true")
    (found,) = arrays(tmp_path, "_mutual_information").values()
    task, prepared = load_task(models["a"]), from_files(Preprocess(), case)
    image = torch.from_numpy(prepared.image)
    window = SlidingWindow(task.inference.patch_size, precision="32")
    p = []
    for axes in ((), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)):
        p.append(window(task, image.flip(axes), "regions").flip(axes).double())

    def bits(q: torch.Tensor) -> torch.Tensor:
        return -(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q)) / np.log(2)

    expected = (bits(torch.stack(p).mean(0)) - bits(torch.stack(p)).mean(0)).mean(0)
    assert expected.max() > 1e-3
    assert np.abs(found - prepared.geometry.restore(expected.numpy())).max() < 1e-5


def test_post_processing_can_be_replaced(data: Path, tmp_path: Path) -> None:
    everything = Postprocess([DropSmall(minimum=1e9)])
    path = checkpoint(tmp_path / "dropping.ckpt", 1, postprocess=everything)
    other = checkpoint(tmp_path / "plain.ckpt", 2)
    assert not any(mask.any() for mask in arrays(run(tmp_path / "1", data, path)).values())
    kept = arrays(run(tmp_path / "2", data, path, postprocess="none"))
    assert all(mask.any() for mask in kept.values())
    with pytest.raises(ConfigError, match="postprocess=default") as error:
        run(tmp_path / "3", data, path, other)
    assert str(path) in str(error.value)
    run(tmp_path / "3", data, path, other, postprocess="default")


def test_networks_that_disagree_are_named(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    three = checkpoint(tmp_path / "three.ckpt", modalities=MODALITIES[:3])
    two = checkpoint(tmp_path / "two.ckpt", regions=("WT", "ET"))
    for other, what in ((three, "modalities"), (two, "regions")):
        with pytest.raises(ConfigError, match=f"differ in {what}") as error:
            run(tmp_path / "out", data, models["a"], other)
        assert str(other) in str(error.value)
        assert str(models["a"]) in str(error.value)


@pytest.fixture
def damaged(data: Path, tmp_path: Path) -> Path:
    """Three cases: the second lacks a modality, the third's T2 is cut off."""
    root = tmp_path / "damaged"
    shutil.copytree(data, root)
    second, third = sorted(p for p in root.iterdir() if p.is_dir())[1:]
    next(second.glob("*_t1ce.nii.gz")).unlink()
    cut = next(third.glob("*_t2.nii.gz"))
    cut.write_bytes(cut.read_bytes()[:200])
    return root


def test_bad_cases_can_be_skipped(
    models: dict[str, Path], damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first, second, third = sorted(p.name for p in damaged.iterdir() if p.is_dir())
    output = run(tmp_path / "out", damaged, models["a"], on_bad_case="skip")
    assert {p.name for p in output.iterdir()} == {f"{first}.nii.gz", "predictions.csv"}
    assert list(pd.read_csv(output / "predictions.csv")["case"]) == [first]
    end = capsys.readouterr().out.split("2 cases were skipped")[1]
    assert f"Case {second}: modality t1c is missing" in end
    assert f"Case {third}: unreadable" in end


def test_a_bad_case_stops_but_keeps_what_is_done(
    models: dict[str, Path], damaged: Path, tmp_path: Path
) -> None:
    first, second, third = sorted(p.name for p in damaged.iterdir() if p.is_dir())
    with pytest.raises(DataError, match=rf"Case {second}[\s\S]*on_bad_case=skip"):
        run(tmp_path / "out", damaged, models["a"])
    shutil.rmtree(damaged / second)
    with pytest.raises(DataError, match=rf"Case {third}[\s\S]*on_bad_case=skip"):
        run(tmp_path / "out", damaged, models["a"])
    assert arrays(tmp_path / "out").keys() == {first}
    assert list(pd.read_csv(tmp_path / "out" / "predictions.csv")["case"]) == [first]
    shutil.rmtree(damaged / first)
    with pytest.raises(DataError, match="no case could be segmented"):
        run(tmp_path / "none", damaged, models["a"], on_bad_case="skip")


def test_checkpoints_are_found_in_runs(tmp_path: Path) -> None:
    files = [
        tmp_path / "unet" / "1" / "checkpoints" / "best.ckpt",
        tmp_path / "unet" / "1" / "checkpoints" / "last.ckpt",
        tmp_path / "unet" / "2" / "checkpoints" / "last.ckpt",
        tmp_path / "own" / "fold0.ckpt",
        tmp_path / "own" / "fold1.ckpt",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert find_checkpoints(str(files[1])) == [files[1]]
    assert find_checkpoints(str(tmp_path / "unet")) == [files[0], files[2]]
    assert find_checkpoints(str(tmp_path / "unet" / "*")) == [files[0], files[2]]
    assert find_checkpoints(f"{tmp_path}/**/best.ckpt") == [files[0]]
    assert find_checkpoints([str(tmp_path / "own"), str(files[4])]) == files[3:]
    for missing in ("no.ckpt", "*.pt", "unet/1/figures"):
        with pytest.raises(ConfigError, match="runs/<model>") as error:
            find_checkpoints(str(tmp_path / missing))
        assert missing in str(error.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ensemble": "median"}, "mean, vote, staple"),
        ({"on_bad_case": "ignore"}, "error or skip"),
        ({"accelerator": "tpu"}, "auto, cpu or gpu"),
        ({"tta": "some"}, "none or flips"),
        ({"postprocess": "tuned"}, "leave postprocess out"),
    ],
)
def test_settings_are_checked_before_anything_is_read(
    models: dict[str, Path], tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    with pytest.raises(BratsError, match=words):
        run(tmp_path, Path("/no/such/input"), models["a"], **settings)


def test_a_network_trained_for_it_does_without_a_modality(data: Path, tmp_path: Path) -> None:
    """It sees zeros where the modality would be; one that was not refuses the case."""
    strict = checkpoint(tmp_path / "strict" / "m.ckpt", 1)
    stored = torch.load(strict, weights_only=True)
    stored["hyper_parameters"]["context"]["modality_dropout"] = 0.2
    tolerant = tmp_path / "tolerant.ckpt"
    torch.save(stored, tolerant)
    fewer = tmp_path / "fewer"
    shutil.copytree(data, fewer)
    for path in fewer.rglob("*_t2.nii.gz"):
        path.unlink()
    with pytest.raises(DataError, match="modality t2w is missing"):
        run(tmp_path / "a", fewer, strict)
    with pytest.raises(DataError, match="modality t2w is missing"):
        run(tmp_path / "b", fewer, tolerant, strict)
    found = arrays(run(tmp_path / "c", fewer, tolerant))

    case = index_dataset(fewer, require_masks=False)[0]
    task = load_task(tolerant)
    task.inference = SlidingWindow(task.inference.patch_size, precision="32")
    three = Preprocess(**task.context["preprocess"])
    prepared = from_files(three, case)
    image = np.insert(prepared.image, MODALITIES.index("t2w"), 0, axis=0)
    assert list(case.images) == [m for m in MODALITIES if m != "t2w"]
    soft = task.probabilities(torch.from_numpy(image)[None]).numpy()
    expected = PLAIN(soft, prepared.geometry.spacing, REGIONS, "regions")
    crop = tuple(slice(low, high) for low, high in prepared.geometry.box)
    whole = np.zeros(next(iter(found.values())).shape, np.uint8)
    whole[crop] = expected
    mine = labels(found[case.case])
    assert mine.any()
    assert np.array_equal(np.sort(mine.ravel()), np.sort(whole.ravel()))


def test_pictures_beside_the_masks(models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    masks = arrays(run(tmp_path, data, models["a"], figures="true"))
    for case in masks:
        picture = (tmp_path / "figures" / f"{case}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 50_000
    drawn = sorted(path.stem for path in (tmp_path / "figures").iterdir())
    assert drawn == sorted(masks)


def test_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.ckpt"
    path.write_text("no checkpoint of anybody")
    with pytest.raises(ConfigError, match="not a checkpoint"):
        load_task(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ConfigError, match="not a checkpoint"):
        load_task(path)


def test_nothing_but_networks_is_built_from_a_checkpoint(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.ckpt")
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["net"] = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    torch.save(content, path)
    with pytest.raises(ConfigError, match=r"asks for os\.mkdir"):
        load_task(path)
    assert not (tmp_path / "made").exists()
