"""What was drawn, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning_brats.figures.slices import MODALITY_NAMES

SIDES = ("left–right", "front–back", "top–bottom")
SILENT = ("MarkBrain", "ClearBackground")
"""Steps that a reader need not know of."""
BY_CHANNEL: Mapping[str, tuple[str, str, Callable[[Any], str]]] = {
    "GaussianBlur": ("blur", "std", lambda v: f"σ {max(v):.1f}"),
    "Brightness": ("brightness", "factor", lambda v: f"× {v:.2f}"),
    "Contrast": ("contrast", "factor", lambda v: f"× {v:.2f}"),
    "GammaCorrection": ("gamma", "gamma", lambda v: f"{v:.2f}"),
    "PowerLaw": ("power", "gamma", lambda v: f"{v:.2f}"),
    "LowResolution": ("coarse", "zoom", lambda v: f"{100 * min(v):.0f} % of the voxels"),
    "ModalityDropout": ("missing", "missing", lambda v: ""),
}
"""Transform → word, the argument with a value a channel, and how to say such a value."""
OTHERS = {
    "PolynomialBias": "bias field",
    "Motion": "motion",
    "Ghosting": "ghosts",
    "Spike": "spikes",
}


def said(steps: Sequence[tuple[str, Mapping[str, Any]]], modalities: Sequence[str]) -> str:
    """`turned, mirrored left–right, blur σ 0.8 (T2)`; `nothing` where nothing was drawn."""
    words = [_one(name, given, modalities) for name, given in steps if name not in SILENT]
    return ", ".join(words) or "nothing"


def _one(name: str, given: Mapping[str, Any], modalities: Sequence[str]) -> str:
    if name == "Warp":
        return _warp(given)
    if name == "Mirror":
        return "mirrored " + ", ".join(SIDES[axis] for axis in given["axes"])
    if name == "GaussianNoise":
        return f"noise σ {_of_image(given['std']):.2f}"
    if name in BY_CHANNEL:
        word, argument, show = BY_CHANNEL[name]
        return _by_channel(word, _of_image(given[argument]), show, modalities)
    return OTHERS.get(name, name.lower())


def _warp(given: Mapping[str, Any]) -> str:
    parts = []
    if any(given["degrees"]):
        turned = "/".join(f"{angle:.0f}" for angle in given["degrees"])
        parts.append(f"turned by {turned}°".replace("-", "−"))
    if given["scaling"] != 1:
        parts.append(f"scaled to {100 / given['scaling']:.0f} %")
    if given["control_points"] is not None:
        parts.append("bent")
    return ", ".join(parts)


def _by_channel(
    word: str, values: Sequence[Any], show: Callable[[Any], str], modalities: Sequence[str]
) -> str:
    """The word, its lowest and highest value, and whose they are where not of all."""
    changed = [place for place, value in enumerate(values) if value is not None]
    texts = list(dict.fromkeys(show(value) for value in sorted(values[place] for place in changed)))
    amount = texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"
    names = [MODALITY_NAMES.get(modalities[place], modalities[place]) for place in changed]
    whose = f" ({', '.join(names)})" if len(changed) < len(values) else ""
    return f"{word} {amount}".strip() + whose


def _of_image(value: Any) -> Any:
    """A parameter of the image, where there is one for each image."""
    return value["image"] if isinstance(value, Mapping) else value
