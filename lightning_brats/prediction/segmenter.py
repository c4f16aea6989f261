"""One case through one or several networks: labels, probabilities, and how sure they are.

Shapes: `K` outputs of a head, `R` regions, `x y z` the grid shared by all networks' crops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry, Prepared
from lightning_brats.errors import ConfigError
from lightning_brats.inference import (
    entropy,
    majority_vote,
    mutual_information,
    predicted_dice,
    staple,
)
from lightning_brats.inference.grid import mirrors
from lightning_brats.labels import BACKGROUND
from lightning_brats.postprocess import Head, Postprocess, region_probabilities
from lightning_brats.postprocess.steps import Spacing
from lightning_brats.prediction.models import Model

Fusion = Callable[[Sequence[np.ndarray], Sequence[str]], np.ndarray]
FUSIONS: Mapping[str, Fusion | None] = {"mean": None, "vote": majority_vote, "staple": staple}


@dataclass(frozen=True)
class Prediction:
    """What the networks say about a case.

    Args:
        labels: (x, y, z) uint8, internal labels.
        probabilities: (R, x, y, z) float32, mean over the networks.
        dice: Region → Dice to expect, from the probabilities alone.
        entropy: (x, y, z) in [0, 1]; with a `regions` head the mean of the regions' entropies.
        disagreement: (x, y, z), mutual information of several networks, or of one network's
            mirror images; `None` where there is but one answer, or it was not asked for.
        geometry: The way back to the file's grid.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    dice: Mapping[str, float]
    entropy: np.ndarray
    disagreement: np.ndarray | None
    geometry: Geometry


class Segmenter:
    """Networks used together.

    Args:
        models: One or more, of the same modalities and regions.
        ensemble: `mean` of probabilities, or `vote` or `staple` over each network's labels.
        uncertainty: Whether to measure where networks disagree. A single network with test-time
            flips is asked again for each mirror image, which doubles the time.

    Raises:
        ConfigError: There is no such way, or a mean would have several post-processings.
    """

    def __init__(
        self, models: Sequence[Model], ensemble: str = "mean", uncertainty: bool = False
    ) -> None:
        if ensemble not in FUSIONS:
            raise ConfigError(f"ensemble={ensemble}: choose {', '.join(FUSIONS)}")
        self.models, self.fuse = tuple(models), FUSIONS[ensemble]
        self.uncertainty = uncertainty
        first = models[0]
        self.regions, self.postprocess = first.task.regions, first.postprocess
        other = next((m for m in models if m.postprocess != first.postprocess), None)
        if self.fuse is None and other is not None:
            raise ConfigError(
                "the checkpoints have different post-processing: "
                f"{first.checkpoint}, {other.checkpoint}",
                remedy="name one for the mean, such as postprocess=default; or, for the folds of a "
                "cross-validation, let evaluate.py tune one: python experiments/evaluate.py "
                "'runs=[RUN,RUN,…]', then checkpoint=<its output>",
            )
        heads = {(m.task.head, _outputs(m)) for m in models}
        self.head: Head = first.task.head if len(heads) == 1 else "regions"

    @property
    def shared_postprocess(self) -> Postprocess | None:
        """The post-processing of all networks; `None` where they have several."""
        alike = all(model.postprocess == self.postprocess for model in self.models)
        return self.postprocess if alike else None

    def prepare(self, case: Case) -> list[Prepared]:
        """Read a case and prepare it for each network.

        Raises:
            DataError: The case cannot be used.
        """
        ways = [model.preprocess for model in self.models]
        distinct = [way for i, way in enumerate(ways) if way not in ways[:i]]
        prepared = [way(case, way.read(case)) for way in distinct]
        each = [prepared[distinct.index(way)] for way in ways]
        return [
            _complete(one, list(case.images), model.modalities)
            for one, model in zip(each, self.models, strict=True)
        ]

    def __call__(self, prepared: Sequence[Prepared]) -> Prediction:
        """Segment a case.

        Args:
            prepared: The case, as each network wants it.
        """
        pairs = [
            self._probabilities(m, each) for m, each in zip(self.models, prepared, strict=True)
        ]
        geometry = _enclosing([each for _, each in pairs])
        own = [
            _place(each, place, geometry, model.task.head)
            for model, (each, place) in zip(self.models, pairs, strict=True)
        ]
        members = [self._shared(model, each) for model, each in zip(self.models, own, strict=True)]
        mean = sum(members[1:], members[0]) / len(members)
        soft = torch.stack(region_probabilities(mean, self.regions, self.head))
        spacing = geometry.spacing
        if self.fuse is None:
            labels = self.postprocess(mean.cpu().numpy(), spacing, self.regions, self.head)
        else:
            labels = self._fused(self.fuse, own, spacing)
        return Prediction(
            labels=labels,
            probabilities=soft.cpu().numpy(),
            dice=predicted_dice(mean, self.head, self.regions),
            entropy=_by_voxel(entropy(mean, self.head)),
            disagreement=self._disagreement(prepared, members),
            geometry=geometry,
        )

    def _probabilities(self, model: Model, prepared: Prepared) -> tuple[Tensor, Geometry]:
        """A network's (K, x, y, z) on the file's voxels, and which of them."""
        own = model.task.probabilities(torch.from_numpy(prepared.image)[None])
        return _to_native(own, prepared.geometry, model.task.head)

    def _shared(self, model: Model, probabilities: Tensor) -> Tensor:
        """A network's probabilities in terms of the head that all share."""
        head = model.task.head
        if head == self.head:
            return probabilities
        return torch.stack(region_probabilities(probabilities, self.regions, head))

    def _disagreement(
        self, prepared: Sequence[Prepared], members: Sequence[Tensor]
    ) -> np.ndarray | None:
        if not self.uncertainty:
            return None
        if len(members) > 1:
            return _by_voxel(mutual_information(members, self.head))
        if self.models[0].task.inference.tta == "none":
            return None
        return _by_voxel(mutual_information(_mirrored(self.models[0], prepared[0]), self.head))

    def _fused(self, fuse: Fusion, own: Sequence[Tensor], spacing: Spacing) -> np.ndarray:
        """Each network's labels by its own head and post-processing, made one."""
        maps = [
            model.postprocess(each.cpu().numpy(), spacing, self.regions, model.task.head)
            for model, each in zip(self.models, own, strict=True)
        ]
        return fuse(maps, self.regions)


def _complete(prepared: Prepared, there: Sequence[str], wanted: Sequence[str]) -> Prepared:
    """With a channel of zeros for each modality that the case lacks, as in training."""
    if list(there) == list(wanted):
        return prepared
    image = np.zeros((len(wanted), *prepared.image.shape[1:]), prepared.image.dtype)
    for channel, modality in zip(prepared.image, there, strict=True):
        image[wanted.index(modality)] = channel
    return replace(prepared, image=image)


def _mirrored(model: Model, prepared: Prepared) -> Iterator[Tensor]:
    """Probabilities (K, x, y, z) from each mirror image, turned back."""
    task, window = model.task, replace(model.task.inference, tta="none")
    image = torch.from_numpy(prepared.image).to(task.device)
    for axes in mirrors(window.patch_size):
        own = window(task, image.flip(axes), task.head).flip(axes)
        yield _to_native(own, prepared.geometry, task.head)[0]


def _to_native(own: Tensor, geometry: Geometry, head: Head) -> tuple[Tensor, Geometry]:
    """Probabilities on the file's voxels, from the grid that the case was resampled to, if any."""
    if geometry.resampled is None:
        return own, geometry
    background = BACKGROUND if head == "labels" else None
    brought, native = geometry.to_native(own.float().cpu().numpy(), background)
    return torch.from_numpy(brought).to(own.device), native


def _enclosing(geometries: Sequence[Geometry]) -> Geometry:
    """The smallest crop of a file that holds all these crops of it.

    Raises:
        ConfigError: They are crops of several files.
    """
    if len({(geometry.shape, geometry.affine) for geometry in geometries}) > 1:
        raise ConfigError(
            "the networks' masks lie on the grids of different modalities",
            remedy="combine networks with the same preprocess.raw.center",
        )
    boxes = np.array([geometry.box for geometry in geometries])  # (networks, 3, 2)
    low, high = boxes[..., 0].min(0).tolist(), boxes[..., 1].max(0).tolist()
    x, y, z = zip(low, high, strict=True)
    return replace(geometries[0], box=(x, y, z))


def _place(probabilities: Tensor, own: Geometry, shared: Geometry, head: Head) -> Tensor:
    """(K, …) from a crop to one that holds it; all around is background."""
    if own.box == shared.box:
        return probabilities
    size = [high - low for low, high in shared.box]
    out = probabilities.new_zeros((len(probabilities), *size))
    if head == "labels":
        out[BACKGROUND] = 1
    inner = tuple(
        slice(low - start, high - start)
        for (low, high), (start, _) in zip(own.box, shared.box, strict=True)
    )
    out[:, *inner] = probabilities
    return out


def _by_voxel(measure: Tensor) -> np.ndarray:
    """(x, y, z) of a measure that a `regions` head has by region."""
    return (measure.mean(0) if measure.ndim == 4 else measure).cpu().numpy()


def _outputs(model: Model) -> int:
    """Number of classes of a `labels` head: 1 + the highest label it was trained with."""
    return 1 + max(model.scheme.codes.values())
