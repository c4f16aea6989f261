"""`python` in the documentation's examples, as tests run them: the same command with less to do.

Called with the words behind `python`. Appended overrides come last, so they win.
"""

import os
import sys

RUN = (
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.threads=1",
    "queue.patches_per_volume=1",
    "queue.workers=0",
    "tracking.mode=none",
)
SWEEP = (
    "budget.amount=1",
    "seeds=[0]",
    "+set.trainer.check_val_every_n_epoch=1",
    "+set.data.phantom.cases=12",
    "+set.data.phantom.spacing=6.0",
    "+set.queue.patches_per_volume=1",
    "+local.queue.workers=0",
    "+local.tracking.mode=none",
    "+local.trainer.threads=1",
)
PHANTOM = ("data.phantom.cases=8", "data.phantom.spacing=6.0")
GALLERY = ("data.phantom.spacing=6.0", "draws=1")
ELSEWHERE = ("data.root", "data=table", "data.phantom")


def smaller(words: list[str]) -> list[str]:
    """The command's words, and what makes it small."""
    script, rest = (words[0], words[1:]) if words else ("", [])
    if {"--help", "--cfg"} & set(rest) or script == "-c":
        return words
    if script == "sweeps/run.py":
        return [*words, *SWEEP]
    if script == "experiments/augmentation_gallery.py":
        return [*words, *GALLERY]
    more: list[str] = []
    if script in ("experiments/run.py", "experiments/baseline.py", "experiments/prepare.py"):
        more += [] if any(word.startswith(ELSEWHERE) for word in rest) else PHANTOM
    if script == "experiments/run.py":
        flat = any("spatial_dims=2" in word or word == "queue=slices" for word in rest)
        more += [*RUN, f"queue.patch_size=[32,32,{1 if flat else 32}]"]
    return [*words, *more]


if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, *smaller(sys.argv[1:])])
