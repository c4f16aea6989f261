"""From a trained generator to cases on disk, and a run that trains with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import write_case
from hydra import compose, initialize_config_module
from synthesis_parts import write_record

from lightning_brats import experiment, runs
from lightning_brats.data.cache import Cache
from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.reading import read_case, read_mask
from lightning_brats.data.sources import load_cases
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import SCHEMES
from lightning_brats.synthesis import command
from lightning_brats.synthesis.hosts import Host, _completed
from lightning_brats.synthesis.planning import Planner, Transforms
from lightning_brats.synthesis.writing import (
    blended,
    check_modalities,
    check_reversible,
    file_name,
    one_scheme,
)
from lightning_brats.synthesis.writing import (
    write_case as write_synthetic,
)

TINY = (
    "queue.patch_size=[16,16,16]",
    "queue.batch_size=2",
    "queue.workers=0",
    "queue.patches_per_volume=2",
    "trainer.max_epochs=2",
    "trainer.check_val_every_n_epoch=1",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "tracking=none",
)
ASL = np.array([[0, 0, -1.0, 5], [-2.0, 0, 0, 7], [0, 1.5, 0, -3], [0, 0, 0, 1]])
"""Axes stored posterior, superior, left, 2 × 1.5 × 1 mm."""


def train(folder: Path, *overrides: str) -> Path:
    os.environ.pop(runs.RUN_VARIABLE, None)
    return experiment.run(experiment.configure(*TINY, f"runs={folder}", *overrides))


def synthesize(*overrides: str) -> Path:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return command.run(compose("synthesize", list(overrides)))


# What is written ---------------------------------------------------------------------------------


def test_a_written_case_has_its_host_s_grid_values_and_coding(tmp_path: Path) -> None:
    host = write_case(tmp_path / "real", "host", affine=ASL)
    prepared = Cache(tmp_path / "cache", Preprocess()).get(host).prepared()
    own = np.asarray(prepared.image, np.float32)
    hole = np.zeros(own.shape[1:], bool)
    middle = [n // 2 for n in hole.shape]
    box = tuple(slice(m - 3, m + 3) for m in middle)
    hole[box] = (own[0] != 0)[box]
    labels = np.where(hole, 3, 0).astype(np.uint8)
    image = np.where(hole, own + 1.0, own)
    folder = tmp_path / "made" / "SYNTH-ab-0000"
    write_synthetic(folder, host, prepared, image, labels, hole)
    write_record(folder.parent, {folder.name: ("donor", "host")}, ["donor", "host"])
    (made,) = load_cases(root=folder.parent).cases
    before, after = read_case(host), read_case(made)
    assert np.array_equal(after.affine, before.affine)
    there = prepared.geometry.restore(hole)
    assert np.array_equal(after.image[:, ~there], before.image[:, ~there])
    assert np.array_equal(after.mask == 3, there)
    for channel in range(4):  # one standard deviation of the brain, up to rounding to whole numbers
        values = before.image[channel][before.brain]
        change = (after.image[channel] - before.image[channel])[there]
        assert np.abs(change - values.std()).max() < 2.0
    saved = nib.load(folder / f"{folder.name}_seg.nii.gz")
    assert set(np.unique(np.asarray(saved.dataobj))) == {0, 4}  # BraTS 2018's enhancing tumour
    t1c = nib.load(folder / f"{folder.name}_t1c.nii.gz")
    assert t1c.get_data_dtype() == np.int16
    assert b"synthetic" in bytes(t1c.header["descrip"])
    assert int(t1c.header["qform_code"]) == int(t1c.header["sform_code"]) == 1


def test_the_brain_stays_brain(tmp_path: Path) -> None:
    host = write_case(tmp_path / "real", "host")
    prepared = Cache(tmp_path / "cache", Preprocess()).get(host).prepared()
    brain = (np.asarray(prepared.image) != 0).any(0)
    image = np.where(brain, -100.0, 0).astype(np.float32)[None].repeat(4, 0)
    folder = tmp_path / "SYNTH-ab-0000"
    write_synthetic(folder, host, prepared, image, brain.astype(np.uint8), brain)
    for modality in host.images:
        stored = nib.load(folder / f"{folder.name}_{modality}.nii.gz").get_fdata()
        assert np.array_equal(stored != 0, read_case(host).brain)


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_integers_of_64_bits_become_those_of_32(tmp_path: Path, kind: type) -> None:
    host = write_case(tmp_path / "real", "host", shape=(10, 10, 10))
    for ref in host.images.values():
        old = nib.load(ref.path)
        values = np.asarray(old.dataobj).astype(kind)
        nib.save(nib.Nifti1Image(values, old.affine, dtype=kind), ref.path)
    prepared = Cache(tmp_path / "cache", Preprocess()).get(host).prepared()
    hole = np.zeros(prepared.image.shape[1:], bool)
    folder = tmp_path / "SYNTH-ab-0000"
    write_synthetic(folder, host, prepared, np.asarray(prepared.image), hole.astype(np.uint8), hole)
    for channel, modality in enumerate(host.images):
        stored = nib.load(folder / f"{folder.name}_{modality}.nii.gz")
        assert stored.get_data_dtype() == np.int32
        assert np.array_equal(stored.get_fdata(), read_case(host).image[channel])


def test_file_names_follow_the_host_s(tmp_path: Path) -> None:
    def case(name: str, file: str, channel: int | None = None) -> Case:
        path = tmp_path / name / file
        images = {"t1c": ImageRef(path, channel)}
        return Case(
            name, name, images, SCHEMES["brats2018"], mask=tmp_path / name / f"{name}_seg.nii"
        )

    old = case("BraTS20_Training_001", "BraTS20_Training_001_t1ce.nii")
    assert file_name(old, "t1c", "SYNTH-a-1") == "SYNTH-a-1_t1ce.nii"
    assert file_name(old, "seg", "SYNTH-a-1") == "SYNTH-a-1_seg.nii"
    new = case("BraTS-GLI-00003-101", "BraTS-GLI-00003-101-t1c.nii.gz")
    assert file_name(new, "t1c", "SYNTH-a-1") == "SYNTH-a-1-t1c.nii.gz"
    stacked = case("BRATS_001", "BRATS_001.nii.gz", channel=2)
    assert file_name(stacked, "t1c", "SYNTH-a-1") == "SYNTH-a-1-t1c.nii.gz"


def test_the_seam_is_gradual_towards_brain_that_is_kept() -> None:
    own = np.zeros((2, 9, 9, 14))
    own[1, :, :, :12] = 5  # the brain ends at 11
    hole = np.zeros((9, 9, 14), bool)
    hole[:, :, 3:12] = True
    found = blended(own, own + 1, hole, 3) - own
    # 1, 2 and 3 voxels from voxel 2; at the brain's surface and the volume's sides nothing is kept.
    wanted = [0, 0, 0, 1 / 3, 2 / 3, *[1] * 7, 0, 0]
    for side in (0, 4, 8):
        assert found[0, side, 4] == pytest.approx(wanted)
    assert blended(own, own + 1, np.ones((9, 9, 14), bool), 3) == pytest.approx(own + 1)


def test_what_cannot_be_undone_is_refused(tmp_path: Path) -> None:
    check_reversible(Preprocess(normalisation="minmax", margin=3))
    box = ((0, 9), (0, 9), (0, 9))
    for wrong in (
        {"clip": (1, 99)},
        {"normalisation": "percentile"},
        {"spacing": 2.0},
        {"crop": box},
    ):
        with pytest.raises(ConfigError, match="cannot be brought back"):
            check_reversible(Preprocess(**wrong))
    with pytest.raises(ConfigError, match="no file name for adc"):
        check_modalities(["t1c", "adc"])
    cases = [
        Case(name, name, {}, SCHEMES[scheme])
        for name, scheme in (("a", "brats2018"), ("b", "brats2023"))
    ]
    with pytest.raises(DataError, match="keep their host's coding"):
        one_scheme(cases)


def test_batches_that_differ_in_anything_but_their_number_have_other_names() -> None:
    facts = {
        "checkpoint_sha256": "ab",
        "data_fingerprint": "cd",
        "trained_on": ["a", "b"],
        "seed": 0,
        "transforms": {"mirror": 0.5, "favour": "ET"},
    }
    first = command.batch_of(facts)
    others = {"transforms": {"mirror": 0.5, "favour": "RC"}, "seed": 1, "checkpoint_sha256": "ef"}
    names = {first, *(command.batch_of({**facts, key: other}) for key, other in others.items())}
    assert len(names) == 4
    turned = {"favour": "ET", "mirror": 0.5}  # the same, written the other way round
    assert command.batch_of({**facts, "transforms": turned, "made_by": "another version"}) == first


# Hosts and plans ---------------------------------------------------------------------------------


def test_what_lay_under_a_tumour_is_guessed_from_the_other_side() -> None:
    brain = np.ones((9, 1, 1), bool)
    kinds = np.zeros((3, 9, 1, 1), bool)
    kinds[0, :4] = kinds[1, 4:6] = kinds[2, 6:] = brain[:1]
    own = np.zeros((9, 1, 1), bool)
    own[0] = own[1] = own[8] = True  # opposite of 0 is 8, tumour too; of 1 is 7
    found = _completed(kinds, own).argmax(0).ravel()
    assert found.tolist() == [0, 2, 0, 0, 1, 1, 2, 2, 2]
    assert (_completed(kinds, own).sum(0) == 1).all()


@pytest.fixture
def planner(tmp_path: Path):
    cases = [write_case(tmp_path, f"c{i}", shape=(32, 32, 32), seed=i) for i in range(4)]
    cache = Cache(tmp_path / "cache", Preprocess())
    entries = [cache.get(case) for case in cases]
    centres = np.array([[-2.0] * 4, [0.0] * 4, [1.0] * 4], np.float32)

    def make(seed: int = 0, **transforms) -> Planner:
        import torch

        prepare = lambda entry: Host.of(entry, torch.from_numpy(centres))  # noqa: E731
        return Planner(cases, entries, Transforms(**transforms), seed, prepare)

    return make


def test_a_plan_is_a_function_of_seed_and_number(planner) -> None:
    first, again, other = planner(seed=0), planner(seed=0), planner(seed=1)
    again.draw(5)  # whatever was drawn before
    one, two, three = (p.draw(1)[0] for p in (first, again, other))
    assert np.array_equal(one.labels, two.labels)
    assert one.facts == two.facts
    assert one.facts != three.facts


def test_plans_stay_in_the_brain_and_say_what_was_done(planner) -> None:
    plans = planner(scale=(0.3, 0.6), mirror=0.5)
    drawn = [plans.draw(number) for number in range(8)]
    for variation, host in drawn:
        assert variation.donor.patient != variation.host.patient
        assert variation.labels.any()
        assert not variation.labels[~host.brain].any()
        assert 0.3 <= variation.facts["volume_factor"] <= 0.6
        voxels = (variation.labels == 3).sum()
        assert variation.facts["tissue_ml"]["ET"] == pytest.approx(voxels / 1000, abs=1e-3)
        hole = host.view(variation.labels, 2).hole[0, 0].numpy()
        assert hole[host.own & host.brain].all()  # the host's own tumour goes
        assert hole[variation.labels > 0].all()
    assert {variation.facts["mirrored"] for variation, _ in drawn} == {True, False}


def test_donors_are_favoured_by_region(planner) -> None:
    plans = planner(scale=(0.3, 0.5), favour="ET")
    for index, entry in enumerate(plans.entries):
        amount = entry.meta["voxels"][2]
        total = sum(e.meta["voxels"][2] for e in plans.entries)
        assert plans._chances[index] == pytest.approx(amount / total)
    with pytest.raises(DataError, match="no training case has any RC"):
        planner(favour="RC")
    for wrong in ({"scale": (2.0, 1.0)}, {"mirror": 1.5}, {"favour": "XX"}):
        with pytest.raises(ConfigError, match="transforms"):
            planner(**wrong)


# The commands ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_train_synthesize_and_train_with_the_cases(tmp_path: Path) -> None:
    real = write_phantom(tmp_path / "real", layout="brats2024-gli", cases=10, spacing=6.0)
    generator = train(
        tmp_path / "runs",
        f"data.root={real}",
        "model=mask2mri",
        "model.size=tiny",
        "model.margin=1",
    )
    assert generator.parent.name == "mask2mri"
    for name in ("report.html", "summary.json", "image_quality.csv", "metrics.csv"):
        assert (generator / name).stat().st_size > 0
    assert list((generator / "figures").glob("*.png"))
    history = pd.read_csv(generator / "metrics.csv")
    assert history["val/mae_tumour"].notna().all()
    assert history["step"].tolist() == sorted(history["step"])
    quality = pd.read_csv(generator / "image_quality.csv")
    split = Split.load(generator / "split.json")
    assert set(quality["case"]) == set(split.test)
    assert np.isfinite(quality.query("metric == 'mae'")["value"]).all()

    output = tmp_path / "made"
    options = (f"checkpoint={generator}", f"output={output}", "count=3", "transforms.favour=RC")
    synthesize(*options)
    assert (output / "slices-1.png").stat().st_size > 0
    cases = load_cases(root=output).cases
    assert len(cases) == 3
    source = {case.case: case for case in load_cases(root=real).cases}
    patients = {source[name].patient for name in split.train}
    recorded = json.loads((output / "synthetic.json").read_text())
    assert set(recorded["trained_on"]) == patients
    for case in cases:
        known = recorded["cases"][case.case]
        assert case.synthetic
        assert {known["donor_patient"], known["host_patient"]} <= patients
        assert source[known["donor"]].patient == known["donor_patient"]
        assert (output / case.case / f"{case.case}-t1c.nii.gz").exists()
        made, host = read_case(case), read_case(source[known["host"]])
        assert np.array_equal(made.affine, host.affine)
        assert np.array_equal(made.brain, host.brain)
        assert not made.mask[~made.brain].any()
        assert case.scheme == source[known["host"]].scheme
        voxels = (read_mask(case.mask, case.scheme, case.case)[0] == 4).sum() * 0.216
        assert known["tissue_ml"]["RC"] == pytest.approx(voxels, abs=1e-3)
    with pytest.raises(ConfigError, match="not empty"):
        synthesize(*options)
    again = synthesize(*options[:1], f"output={tmp_path / 'again'}", *options[2:])
    assert (again / "synthetic.json").read_bytes() == (output / "synthetic.json").read_bytes()
    for case in cases:
        one, two = (root / case.case / f"{case.case}-t2f.nii.gz" for root in (output, again))
        assert np.array_equal(nib.load(one).get_fdata(), nib.load(two).get_fdata())

    both = f"data.roots=[{real},{output}]"
    folder = train(tmp_path / "runs", both, "model=unet", "model.size=tiny")
    used = Split.load(folder / "split.json")
    assert (used.validation, used.test) == (split.validation, split.test)
    assert {case.case for case in cases} == set(used.train) - set(split.train)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["synthetic_cases"] == 3
    scored = set(pd.read_csv(folder / "evaluation.csv")["case"])
    assert scored == set(split.test)
    given = train(tmp_path / "runs", both, "model=fcnn", f"split.file={output / 'split.json'}")
    assert set(Split.load(given / "split.json").train) == set(used.train)
    with pytest.raises(DataError, match="SYNTH-"):
        train(tmp_path / "runs", both, "model=fcnn", "split.seed=5")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.compile=true", "trainer.compile"),
        ("modality_dropout=0.2", "modality_dropout"),
        ("scheduler=plateau", r"follows a Dice[\s\S]*scheduler=poly"),
        ("queue.patch_size=[16,16,1]", "three axes|2-D|3-D"),
    ],
)
def test_settings_for_segmentations_are_refused(tmp_path: Path, override: str, words: str) -> None:
    real = tmp_path / "real"
    for i in range(6):
        write_case(real, f"BraTS2021_{i:05d}", shape=(20, 20, 20), seed=i)
    cfg = experiment.configure(
        *TINY, f"runs={tmp_path}", f"data.root={real}", "model=mask2mri", override
    )
    with pytest.raises(ConfigError, match=words):
        experiment.build(cfg)


def test_a_segmentation_is_no_generator(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a finished run of a generator"):
        synthesize(f"checkpoint={tmp_path}", f"output={tmp_path / 'x'}")
    (tmp_path / "checkpoints").mkdir()
    for name in ("checkpoints/last.ckpt", "split.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.yaml").write_text("model_name: unet\nmodel: {_target_: x.UNet}\n")
    with pytest.raises(ConfigError, match="trained unet, which segments"):
        synthesize(f"checkpoint={tmp_path}", f"output={tmp_path / 'x'}")
    with pytest.raises(ConfigError, match="at least one case"):
        synthesize(f"checkpoint={tmp_path}", f"output={tmp_path / 'x'}", "count=0")
