"""From a clean case to a result, its doubts, scores, picture and report."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import LPS, write_case
from hydra import compose, initialize_config_module

from lightning_brats.app.augmenting import EFFECTS, Sample, apply, preset, presets
from lightning_brats.app.checks import of_prediction, of_scans, swapped
from lightning_brats.app.command import serve
from lightning_brats.app.drawing import draw, specify
from lightning_brats.app.jobs import CancelledError, Job
from lightning_brats.app.layers import Crop, mz3
from lightning_brats.app.report import write_report
from lightning_brats.app.scoring import compare, protocol_of
from lightning_brats.app.segmenting import Result, count_windows, measure, nested, segment
from lightning_brats.app.services import Session
from lightning_brats.app.trained import Trained, find_trained, load
from lightning_brats.data.case import Case, ImageRef, Volume
from lightning_brats.data.phantom import make_case
from lightning_brats.data.preprocess import Geometry, Preprocess
from lightning_brats.data.reading import read_case, read_mask
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import DataError
from lightning_brats.inference import SlidingWindow
from lightning_brats.labels import ET, MODALITIES, SCHEMES, LabelScheme
from lightning_brats.metrics import score_case
from lightning_brats.models import FCNN
from lightning_brats.postprocess import DropSmall, Postprocess
from lightning_brats.prediction import context
from lightning_brats.task import SegmentationTask

OBLIQUE = np.array([[-1.9, 0.1, 0, 20], [0.1, -1.9, 0.2, 30], [0, 0.2, 2.9, -9], [0, 0, 0, 1.0]])


def save_run(
    folder: Path,
    seed: int,
    dice: float | None,
    scheme: LabelScheme = SCHEMES["brats2018"],
    postprocess: Postprocess | None = None,
) -> Path:
    """A run's folder with random weights, as far as the app looks at it."""
    torch.manual_seed(seed)
    case = write_case(folder / "trained_on", scheme=scheme)
    stored = context(CaseSource("x", (case,)), Preprocess())
    stored |= {"postprocess": (postprocess or Postprocess()).to_dict()}
    window = {"_target_": "lightning_brats.inference.SlidingWindow", "patch_size": [16] * 3}
    regions = ("WT", "TC", "ET")
    task = SegmentationTask(FCNN(4, 3), regions=regions, inference=window, context=stored)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(folder / "checkpoints" / "best.ckpt")
    if dice is not None:
        rows = f"epoch,val/dice_mean\n0,{dice - 0.1}\n1,{dice}\n2,\n"
        (folder / "metrics.csv").write_text(rows)
    (folder / "summary.json").write_text('{"regions": {}}')
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for name, dice in (("poor", 0.5), ("good", 0.8), ("unknown", None)):
        save_run(root / name / "2024-01-01_00-00-00", len(name), dice)
    return root


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    return write_case(folder, "case", affine=OBLIQUE, scheme=SCHEMES["brats2018"])


@pytest.fixture(scope="module")
def result(runs: Path, case: Case, tmp_path_factory: pytest.TempPathFactory) -> Result:
    job = Job("a", lambda job: None)
    return segment(job, (find_trained(runs)[0],), case, False, tmp_path_factory.mktemp("result"))


def test_runs_come_best_first(runs: Path) -> None:
    found = find_trained(runs)
    assert [each.name.split("/")[0] for each in found] == ["good", "poor", "unknown"]
    assert [each.dice for each in found] == [0.8, 0.5, None]
    assert "validation Dice 0.800" in found[0].title


def test_the_mask_lies_on_the_input_s_grid_in_its_coding(result: Result, case: Case) -> None:
    source, made = nib.load(case.images["t1c"].path), nib.load(result.mask)
    assert made.shape == source.shape
    assert np.allclose(made.affine, source.affine, atol=1e-5)
    assert set(np.unique(np.asarray(made.dataobj))) <= {0, 1, 2, 4}


def test_what_is_kept_by_a_result_is_never_found_by_a_later_one(result: Result) -> None:
    arguments = {f.name: getattr(result, f.name) for f in fields(result) if f.name != "key"}
    keys = [Result(**arguments).key for _ in range(50)]  # each is freed before the next is made
    assert len({*keys, result.key}) == 51


def test_of_each_kind_the_last_is_remembered_and_only_for_its_own(tmp_path: Path) -> None:
    visitor = Session("one", tmp_path)
    assert visitor.remembered("scores", "a") is None
    assert visitor.remember("scores", "a", 1) == 1
    assert visitor.remembered("scores", "a") == 1
    assert visitor.remembered("scores", "b") is None
    visitor.remember("scores", "b", 2)
    assert visitor.remembered("scores", "a") is None  # memory does not grow with results


def test_volumes_and_voxels_are_those_of_the_mask(result: Result) -> None:
    values = np.asarray(nib.load(result.mask).dataobj)
    voxel = abs(np.linalg.det(OBLIQUE[:3, :3])) / 1000
    assert result.volumes["WT"] == pytest.approx((values > 0).sum() * voxel, rel=1e-4)
    assert result.volumes["ET"] == pytest.approx((values == 4).sum() * voxel, rel=1e-4)
    counts = {"background": 0, "NETC": 1, "SNFH": 2, "ET": 4}
    assert result.voxels == {name: int((values == v).sum()) for name, v in counts.items()}


def test_measures_by_hand() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0] = (1, 2, 3, 3)
    affine = ((2.0, 0, 0, 0), (0, 2.0, 0, 0), (0, 0, 2.5, 0), (0, 0, 0, 1.0))
    geometry = Geometry((10, 10, 10), affine, ((0, 4), (0, 4), (0, 4)))
    volumes, voxels = measure(labels, geometry, ("WT", "TC", "ET"), SCHEMES["brats2023"])
    assert volumes == pytest.approx({"WT": 0.04, "TC": 0.03, "ET": 0.02})
    assert voxels == {"background": 996, "NETC": 1, "SNFH": 1, "ET": 2}


def test_every_window_is_counted_and_cancelling_stops_between_two(
    runs: Path, case: Case, tmp_path: Path
) -> None:
    chosen = (find_trained(runs)[0],)
    (model,) = load(chosen)
    prepared = model.preprocess(case, model.preprocess.read(replace(case, mask=None)))
    seen = []
    hook = model.task.net.register_forward_pre_hook(lambda net, x: seen.append(len(x[0])))
    segment(Job("a", lambda job: None), chosen, case, False, tmp_path)
    hook.remove()
    assert sum(seen) == count_windows(model, prepared) > 1

    job, calls = Job("a", lambda job: None), []

    def stop(net: torch.nn.Module, inputs: tuple) -> None:
        calls.append(1)
        job.cancel()

    hook = model.task.net.register_forward_hook(lambda net, x, y: stop(net, x))
    with pytest.raises(CancelledError):
        segment(job, chosen, case, False, tmp_path)
    hook.remove()
    assert len(calls) == 1


def test_windows_of_all_axes_are_counted(runs: Path, case: Case) -> None:
    (model,) = load((find_trained(runs)[0],))
    prepared = model.preprocess(case, model.preprocess.read(replace(case, mask=None)))
    window = replace(model.task.inference, patch_size=(16, 16, 1))

    def counted(window: SlidingWindow) -> int:
        task = SimpleNamespace(inference=window)
        return count_windows(replace(model, task=task), prepared)

    every = replace(window, axes=("sagittal", "coronal", "axial"))
    assert counted(every) == sum(counted(view) for view in every.views()) > counted(window)


def test_runs_that_are_not_done_and_generators_of_images_are_not_offered(tmp_path: Path) -> None:
    for name, summary in (("done", "regions"), ("images", "image_quality"), ("running", None)):
        weights = tmp_path / name / "checkpoints" / "best.ckpt"
        weights.parent.mkdir(parents=True)
        weights.touch()
        if summary:
            (tmp_path / name / "summary.json").write_text(json.dumps({summary: {}}))
    assert [each.name for each in find_trained(tmp_path)] == ["done"]


def test_the_page_can_compose_augmentations_inside_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli = pytest.importorskip("streamlit.web.cli")
    made = []
    monkeypatch.setattr(cli, "main", lambda *_, **__: made.append(preset("flips")))
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        serve(compose("app", [f"runs={tmp_path}", "port=0", "browser=false"]))
    assert made[0] is not None


def test_a_missing_modality_is_named(runs: Path, case: Case, tmp_path: Path) -> None:
    three = case.with_modalities(("t1n", "t1c", "t2w"))
    with pytest.raises(DataError, match="t2f is missing"):
        segment(Job("a", lambda j: None), (find_trained(runs)[0],), three, False, tmp_path)


def test_networks_together_say_where_they_disagree(runs: Path, case: Case, tmp_path: Path) -> None:
    found = segment(Job("a", lambda j: None), tuple(find_trained(runs)[:2]), case, False, tmp_path)
    assert set(found.maps) == {"entropy", "disagreement"}
    values = np.asarray(nib.load(found.maps["entropy"]).dataobj)
    assert values.shape == read_case(case).brain.shape
    assert 0 <= values.min() <= values.max() <= 1


def test_networks_tuned_to_different_post_processing_are_averaged_without(
    runs: Path, case: Case, tmp_path: Path
) -> None:
    tuned = Postprocess((DropSmall(10),), threshold=0.4)
    save_run(tmp_path / "runs" / "tuned", 7, 0.7, postprocess=tuned)
    (one,) = find_trained(tmp_path / "runs")
    assert [model.postprocess for model in load((one,))] == [tuned]
    both = (one, find_trained(runs)[0])
    assert [model.postprocess for model in load(both)] == [Postprocess()] * 2
    found = segment(Job("a", lambda j: None), both, case, False, tmp_path)
    assert any("their mean has none" in doubt for doubt in found.doubts)


def phantom_values(index: int) -> Mapping[str, np.ndarray]:
    made = make_case(index, spacing=6.0)
    brain = (made.image != 0).any(0)
    return dict(zip(MODALITIES, made.image[:, brain].astype(np.float32), strict=True))


@pytest.mark.parametrize(
    "index", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (3, 5, 8))]
)
def test_swapped_modalities_are_told(index: int) -> None:
    values = phantom_values(index)
    told = {
        order: bool(swapped(dict(zip(MODALITIES, (values[name] for name in order), strict=True))))
        for order in permutations(MODALITIES)
    }
    assert not told.pop(MODALITIES)
    # All but the swap of the two T1 images are plain in every case; without contrast agent's
    # uptake there is nothing to tell that one by.
    t1 = ("t1c", "t1n", "t2w", "t2f")
    del told[t1]
    assert sum(told.values()) >= len(told) - 1


def test_the_two_t1_images_are_told_apart_by_what_the_agent_brightens() -> None:
    values = dict(phantom_values(0))
    values["t1n"], values["t1c"] = values["t1c"], values["t1n"]
    assert any("contrast agent" in text for text in swapped(values))


def doubts_of(case: Case, change: Mapping[str, object] | None = None) -> str:
    volume = read_case(case)
    volume = replace(volume, **(change or {}))
    return " | ".join(of_scans(case, volume, Preprocess()(case, volume)))


def head(case: Case) -> Volume:
    """Air is not 0 before the skull is removed."""
    volume = read_case(case)
    noise = np.random.default_rng(0).uniform(1, 9, volume.image.shape).astype(np.float32)
    image = np.where(volume.image == 0, noise, volume.image)
    return replace(volume, image=image, brain=(image != 0).any(0))


def test_a_skull_that_was_not_removed_is_told(case: Case) -> None:
    volume = head(case)
    found = of_scans(case, volume, Preprocess()(case, volume))
    assert any("probably not skull-stripped" in text for text in found)
    assert "skull-stripped" not in doubts_of(case)


def test_images_that_were_normalised_before_are_told(case: Case) -> None:
    volume = read_case(case)
    image = volume.image.copy()
    image[0][volume.brain] -= image[0][volume.brain].mean()
    assert "normalised before" in doubts_of(case, {"image": image})
    assert "normalised" not in doubts_of(case)


def test_an_implausible_brain_is_told(tmp_path: Path) -> None:
    small = write_case(tmp_path, "small", affine=LPS)
    assert "a brain of" in doubts_of(small)


def test_an_uncertain_result_is_told() -> None:
    labels = np.ones((3, 3, 3), np.uint8)
    assert of_prediction({"WT": 0.9, "ET": 0.8}, labels) == []
    (text,) = of_prediction({"WT": 0.9, "ET": 0.41}, labels)
    assert "0.41 for ET" in text
    (text,) = of_prediction({"WT": 0.9}, 0 * labels)
    assert "no tumour" in text


def test_scores_are_those_of_the_protocol(result: Result) -> None:
    assert protocol_of(result.case.scheme) == "brats2023-gli"
    assert protocol_of(SCHEMES["brats2024"]) == "brats2024-gli"
    scored = compare(result, "brats2023-gli")
    labels, affine = result.labels()
    reference = result.reference()
    spacing = tuple(nib.affines.voxel_sizes(affine))
    assert scored.scores == score_case(reference, labels, spacing, "brats2023-gli")
    both = ((reference > 0) & (labels > 0)).sum()
    dice = 2 * both / ((reference > 0).sum() + (labels > 0).sum())
    assert scored.table().loc["Dice", "WT"] == f"{dice:.3f}"
    either = ((reference > 0) | (labels > 0)).sum()
    missed = ((reference > 0) & (labels == 0)).sum() / either
    assert scored.boundary().loc["missed (%)", "WT"] == f"{100 * missed:.1f}"


def test_a_reference_on_another_grid_is_refused(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "mask.nii"
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), LPS), path)
    other = replace(result, case=replace(result.case, mask=path))
    with pytest.raises(DataError, match="another grid than the scans: it has 9 × 9 × 9"):
        compare(other, "legacy")
    assert list(draw(other).masks.description["masks"]) == ["segmentation"]


def test_a_mirrored_reference_is_not_scored_voxel_by_voxel(result: Result, tmp_path: Path) -> None:
    labels, affine = result.labels()
    mirrored = affine @ np.diag([-1, 1, 1, 1.0])
    mirrored[:3, 3] += affine[:3, 0] * (labels.shape[0] - 1)
    path = tmp_path / "mask.nii"
    values = np.asarray(nib.load(result.case.mask).dataobj)
    nib.save(nib.Nifti1Image(values[::-1], mirrored), path)  # the same, in space
    other = replace(result, case=replace(result.case, mask=path))
    with pytest.raises(DataError, match="the affines differ by"):
        compare(other, "legacy")


def test_a_reference_is_read_in_its_own_coding(case: Case, tmp_path: Path) -> None:
    """4 is the enhancing tumour in the case's files, and the cavity in the network's."""
    run = tmp_path / "runs" / "postop" / "2024-01-01_00-00-00"
    save_run(run, 1, 0.8, SCHEMES["brats2024"])
    (tmp_path / "out").mkdir()
    chosen = tuple(find_trained(tmp_path / "runs"))
    found = segment(Job("a", lambda job: None), chosen, case, False, tmp_path / "out")
    assert (found.coding.name, found.case.scheme.name) == ("brats2024", "brats2018")
    values = np.asarray(nib.load(case.mask).dataobj)
    assert np.array_equal(found.reference() == ET, values == 4)
    assert set(compare(found, "brats2023-gli").scores) == {"WT", "TC", "ET"}
    masks = draw(found).masks
    shown = unpacked(masks.data[masks.description["masks"]["reference"]])
    assert (np.asarray(shown.dataobj) == ET).sum() == (values == 4).sum() > 0


def test_regions_that_the_network_does_not_know_are_not_scored(result: Result) -> None:
    assert set(compare(replace(result, regions=("WT",)), "brats2024-gli").scores) == {"WT"}


def test_scans_on_other_grids_are_drawn_on_the_mask_s(result: Result, tmp_path: Path) -> None:
    first = next(iter(result.case.images))
    image = nib.load(result.case.images[first].path)
    coarse = nib.Nifti1Image(np.asarray(image.dataobj)[::2], image.affine @ np.diag([2, 1, 1, 1.0]))
    nib.save(coarse, tmp_path / "coarse.nii")
    images = {**result.case.images, first: ImageRef(tmp_path / "coarse.nii")}
    drawn = draw(replace(result, case=replace(result.case, images=images)))
    shapes = {unpacked(drawn.images.data[f"image_{name}"]).shape for name in images}
    assert len(shapes) == 1
    assert unpacked(drawn.masks.data["a_segmentation"]).shape in shapes


def unpacked(content: bytes) -> nib.Nifti1Image:
    import gzip

    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


def test_the_viewer_s_volumes_are_where_the_files_are(result: Result) -> None:
    drawn = draw(result)
    volume = read_case(result.case)
    rng = np.random.default_rng(0)
    inside = np.argwhere(volume.brain)
    places = inside[rng.integers(len(inside), size=40)]
    world = nib.affines.apply_affine(volume.affine, places)
    for number, name in enumerate(MODALITIES):
        image = unpacked(drawn.images.data[f"image_{name}"])
        own = nib.affines.apply_affine(np.linalg.inv(image.affine), world).round().astype(int)
        found = np.asarray(image.dataobj)[tuple(own.T)]
        wanted = volume.image[number][tuple(places.T)]
        assert np.allclose(found, wanted, atol=np.ptp(volume.image[number]) / 2**14)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    masks = drawn.masks.description["masks"]
    for name, labels in (("segmentation", result.labels()[0]), ("reference", result.reference())):
        image = unpacked(drawn.masks.data[masks[name]])
        assert (np.asarray(image.dataobj) > 0).sum() == (labels > 0).sum()
        own = nib.affines.apply_affine(np.linalg.inv(image.affine), world).round().astype(int)
        assert np.array_equal(np.asarray(image.dataobj)[tuple(own.T)], labels[tuple(places.T)])


def test_the_viewer_is_told_of_every_byte(result: Result) -> None:
    drawn = draw(result)
    spec = specify("x", {"": drawn}, result.regions)
    panel = spec["panels"][0]
    named = {each["key"] for each in (*spec["modalities"], *panel["surfaces"])}
    named |= {spec["brain"], *panel["masks"].values(), *panel["maps"].values()}
    assert named == {*drawn.images.data, *drawn.masks.data}
    assert [each["name"] for each in spec["regions"]] == ["WT", "TC", "ET"]
    assert nested(("ET", "WT", "TC")) == ["WT", "TC", "ET"]


def surface(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    magic, kind, faces, vertices, skip = struct.unpack("<HHIII", content[:16])
    assert (magic, kind, skip) == (23117, 3, 0)
    corners = np.frombuffer(content, "<i4", 3 * faces, 16).reshape(-1, 3)
    places = np.frombuffer(content, "<f4", 3 * vertices, 16 + 12 * faces).reshape(-1, 3)
    assert len(content) == 16 + 12 * (faces + vertices)
    return places, corners


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_ball_s_surface_has_its_size_place_and_outside(mirrored: bool) -> None:
    axes = np.meshgrid(*[np.arange(40)] * 3, indexing="ij")
    ball = sum((axis - 20) ** 2 for axis in axes) <= 12**2
    affine = np.diag([-0.5 if mirrored else 0.5, 0.5, 0.5, 1])
    affine[:3, 3] = (5, -6, 7)
    content = Crop.around(ball, affine).surface(ball)
    places, corners = surface(content)
    a, b, c = (places[corners[:, number]] for number in range(3))
    volume = (a * np.cross(b, c)).sum() / 6  # signed: positive where corners run outwards
    assert volume == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.05)
    assert np.allclose(places.mean(0), (affine @ [20, 20, 20, 1])[:3], atol=0.1)


def test_mz3_by_hand() -> None:
    places, corners = surface(mz3(np.eye(3), np.array([[0, 1, 2]])))
    assert np.array_equal(places, np.eye(3))
    assert np.array_equal(corners, [[0, 1, 2]])


@pytest.mark.slow
def test_the_report_stands_alone_and_names_nobody(result: Result, tmp_path: Path) -> None:
    page = write_report(tmp_path, result, compare(result, "brats2023-gli"), True).read_text()
    for words in ("Research only", "not a medical device", "digital phantom", "brats2023-gli"):
        assert words in page
    assert f"{result.volumes['WT']:.1f}" in page
    for path in (result.case.files[0], result.mask):
        assert str(path.parent) not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    plain = write_report(
        tmp_path, replace(result, case=replace(result.case, mask=None)), None, False
    )
    assert "Against the reference" not in plain.read_text()


@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_changes_something_and_obeys_the_seed(name: str, case: Case) -> None:
    effect, sample = EFFECTS[name], Sample.read(case)
    transform = effect.build([slider.start for slider in effect.sliders], 4)
    first, again, other = (apply(sample, transform, seed) for seed in (1, 1, 2))
    assert not np.array_equal(first.image, sample.image)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.image, other.image) != effect.chance
    assert first.labels.shape == sample.labels.shape
    assert set(np.unique(first.labels)) <= set(np.unique(sample.labels)) | {0}


def test_sliders_start_within_their_limits() -> None:
    for effect in EFFECTS.values():
        for slider in effect.sliders:
            assert slider.low <= slider.start <= slider.high


def test_a_mirror_mirrors_image_and_mask(case: Case) -> None:
    sample = Sample.read(case)
    changed = apply(sample, EFFECTS["mirror"].build([0], 4), 0)
    assert np.array_equal(changed.image, sample.image[:, ::-1])
    assert np.array_equal(changed.labels, sample.labels[::-1])


@pytest.mark.slow
def test_presets_are_those_of_the_training(case: Case) -> None:
    assert {"standard", "full", "flips"} <= set(presets())
    changed = apply(Sample.read(case), preset("intensity"), 3)
    assert changed.image.shape == Sample.read(case).image.shape


def test_a_reference_s_voxels_are_not_changed_by_its_copy(case: Case, result: Result) -> None:
    labels, _ = read_mask(case.mask, case.scheme, "case")
    assert np.array_equal(result.reference(), labels)


def test_a_single_checkpoint_is_loaded_once(runs: Path) -> None:
    chosen: tuple[Trained, ...] = (find_trained(runs)[0],)
    assert load(chosen)[0] is load(chosen)[0]


def test_a_ragged_mask_s_surface_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    speckled = np.random.default_rng(0).random((48, 48, 48)) < 0.3
    crop = Crop.around(speckled, np.eye(4))
    _, fine = surface(crop.surface(speckled))
    monkeypatch.setattr("lightning_brats.app.layers.MOST_FACES", len(fine) // 3)
    _, coarse = surface(crop.surface(speckled))
    assert 0 < len(coarse) <= len(fine) // 3
