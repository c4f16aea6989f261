"""Patch and batch sizes for a memory."""

import subprocess
import sys

import pytest
import torch

from lightning_brats.errors import ConfigError
from lightning_brats.fitting import Need, estimate, fit_sizes
from lightning_brats.memory_trial import Trial, smaller
from lightning_brats.models import UNet

NEED = Need(fixed=1000, voxel=2)


def fitted(budget: float, **given: object) -> tuple[tuple[int, ...], int]:
    return fit_sizes(lambda patch: NEED, budget, (140, 170, 60), 10**9, **given)


def test_with_room_enough_the_patch_is_a_whole_volume() -> None:
    voxels = 144 * 176 * 64
    assert fitted(1000 + 2 * 2 * voxels) == ((144, 176, 64), 2)


def test_the_relatively_longest_axis_shrinks_first() -> None:
    """144/140, 176/170 and 64/60: the last is relatively longest, then the second."""
    assert fitted(1000 + 4 * 144 * 176 * 48) == ((144, 176, 48), 2)
    assert fitted(1000 + 4 * 144 * 160 * 48) == ((144, 160, 48), 2)


def test_memory_that_is_left_makes_the_batch() -> None:
    assert fitted(1000 + 2 * 7.5 * 64**3, patch=(64, 64, 64)) == ((64, 64, 64), 7)
    few = fit_sizes(lambda patch: NEED, 1e12, (64, 64, 64), 5 * 64**3)
    assert few == ((64, 64, 64), 5)  # a batch need not hold more than so many voxels


def test_what_is_given_stays() -> None:
    assert fitted(1000 + 2 * 8 * 48 * 48 * 48, batch=8)[1] == 8
    with pytest.raises(ConfigError, match="8 patches of 64×64×64 do not fit into"):
        fitted(1000 + 2 * 7 * 64**3, patch=(64, 64, 64), batch=8)


def test_too_little_memory_is_said() -> None:
    with pytest.raises(ConfigError, match=r"recompute=true"):
        fitted(1000 + 2)


def test_slices_keep_their_thin_axis() -> None:
    found = fit_sizes(lambda patch: NEED, 1000 + 2 * 16 * 96 * 96, (90, 96, 1), 10**9)
    assert found == ((96, 96, 1), 16)


def test_sizes_go_down_where_a_step_fails() -> None:
    both = ("patch_size", "batch_size")
    assert smaller((64, 80, 64), 10, both, 2**30) == ((64, 80, 64), 8)
    assert smaller((64, 80, 64), 2, both, 2**30) == ((64, 64, 64), 2)
    assert smaller((32, 40, 1), 2, both, 2**30) == ((32, 32, 1), 2)


def test_what_is_given_stays_where_a_step_fails() -> None:
    assert smaller((64, 80, 64), 10, ("patch_size",), 2**30) == ((64, 64, 64), 10)
    assert smaller((64, 80, 64), 3, ("batch_size",), 2**30) == ((64, 80, 64), 2)
    with pytest.raises(ConfigError, match=r"2 patches of 64×80×64 do not fit into 1\.0 GiB"):
        smaller((64, 80, 64), 2, ("batch_size",), 2**30)
    with pytest.raises(ConfigError, match=r"10 patches of 32×32×1 do not fit into 1\.0 GiB"):
        smaller((32, 32, 1), 10, ("patch_size",), 2**30)


@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 16, 1)])
@pytest.mark.parametrize(("dtype", "deep"), [(torch.bfloat16, True), (None, False)])
def test_a_step_is_tried_as_it_will_be_made(
    patch: tuple[int, ...], dtype: torch.dtype | None, deep: bool
) -> None:
    seen = []
    dims = 2 if 1 in patch else 3
    net = UNet(4, 3, size="tiny", spatial_dims=dims, deep_supervision=deep)
    net.register_forward_hook(lambda net, images, outputs: seen.append((images[0], outputs)))
    Trial(net, 4, torch.device("cpu"), dtype, 0).step(patch, 2)
    ((image, outputs),) = seen
    assert image.shape == (2, 4, *[size for size in patch if size > 1])
    assert (outputs[0] if deep else outputs).dtype == (dtype or torch.float32)
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_what_an_optimiser_holds_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what the step took: two moments and an average of each weight, 4 bytes each."""
    net = torch.nn.Conv3d(4, 3, 1)  # 15 weights
    for name, value in (("memory_allocated", 100), ("max_memory_allocated", 1100)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    for name in ("reset_peak_memory_stats", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda *device: None)
    for budget, fits in ((1000 + 3 * 4 * 15, True), (1000 + 3 * 4 * 15 - 1, False)):
        assert Trial(net, 4, torch.device("cpu"), None, budget).fits((8, 8, 8), 2) is fits

    def short(images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(net, "forward", short)
    assert not Trial(net, 4, torch.device("cpu"), None, 1e9).fits((8, 8, 8), 2)


STEP = """
import torch
from lightning_brats.models import UNet
from lightning_brats.optim import make_optimizer
from functools import partial
torch.set_num_threads(1)
net = UNet(4, 3, size="small")
optimizer = make_optimizer(partial(torch.optim.AdamW, lr=1e-3), net)
def held(what):
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))
net(torch.zeros(1, 4, 16, 16, 16)).mean().backward()
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far, of imports
before = held("VmRSS")
for _ in range(2):
    net(torch.zeros(2, 4, 64, 64, 64)).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
print(held("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures with Linux' own accounts")
def test_the_estimate_is_near_what_a_step_takes() -> None:
    """Measured in a process of its own: no less than needed, and not twice as much."""
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=True)
    need = estimate(UNet(4, 3, size="small"), 4, (64, 64, 64), half=False)
    estimated = need.bytes((64, 64, 64), 2)
    assert 0.9 < estimated / int(done.stdout) < 2
