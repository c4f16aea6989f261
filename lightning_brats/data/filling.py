"""Finding and making many cache entries: in parallel, a few at a time, a bad case not the end."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_brats.data.audit import check_space, check_writable
from lightning_brats.data.case import Case
from lightning_brats.data.catalogue import Facts
from lightning_brats.data.entry import VERSION, CachedCase
from lightning_brats.data.exclusion import BadCases
from lightning_brats.data.space import counted, estimated_bytes, readable
from lightning_brats.errors import DataError
from lightning_brats.parallel import process_pool

if TYPE_CHECKING:
    from lightning_brats.data.cache import Cache

Progress = Callable[[int, int], None]
log = logging.getLogger("lightning_brats.data.cache")

THREADS = 8
BLOCK = 2_000
"""Cases looked for at once."""
AHEAD = 4
"""Cases waiting for each process."""
LEFT_OVER = 86_400
"""Seconds after which what a dead process left is taken away; nobody writes a case that long."""


def find_all(cache: Cache, cases: Sequence[Case]) -> Iterator[tuple[int, Facts]]:
    """Place in the list and facts of each case that is in the cache."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(cases), BLOCK):
            found = pool.map(cache.find, cases[start : start + BLOCK])
            yield from ((i, facts) for i, facts in enumerate(found, start) if facts is not None)


def make_all(
    cache: Cache,
    cases: Sequence[Case],
    workers: int,
    progress: Progress | None,
    bad: BadCases,
    make: Callable[[Cache, Case], Any] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Place in the list and result of each case that can be used, as they are done.

    Args:
        cache: Where entries go.
        cases: To be made.
        workers: Processes.
        progress: Called with (done, total) after each case.
        bad: Takes the cases that cannot be used.
        make: Makes one; `Cache.obtain` by default.

    Raises:
        DataError: A case cannot be used, or the cache cannot be written to.
    """
    if not cases:
        return
    if make is None:
        make = type(cache).obtain
        _before_writing(cache, cases)
    bare = type(cache)(cache.root, cache.preprocess)  # processes need not get the catalogue
    tasks = ((bare, case, make) for case in cases)
    serial = workers <= 1 or len(cases) == 1
    results = enumerate(map(_attempt, tasks)) if serial else _in_pool(tasks, len(cases), workers)
    for done, (place, result) in enumerate(results, 1):
        if isinstance(result, DataError):
            bad.add(result)
        else:
            yield place, result
        if progress:
            progress(done, len(cases))


def _in_pool(tasks: Iterable[tuple], count: int, workers: int) -> Iterator[tuple[int, Any]]:
    with process_pool(min(workers, count), _in_worker) as pool:
        waiting: dict[Future, int] = {}
        coming = enumerate(tasks)
        try:
            while True:
                while len(waiting) < AHEAD * workers and (task := next(coming, None)):
                    waiting[pool.submit(_attempt, task[1])] = task[0]
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process that prepared cases was killed, most likely for want of memory",
                remedy="prepare with fewer processes, python experiments/prepare.py workers=1, or "
                "on a machine with more memory; what is prepared stays",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _attempt(task: tuple[Cache, Case, Callable[[Cache, Case], Any]]) -> Any:
    """The result, or why the case cannot be used."""
    cache, case, make = task
    try:
        return make(cache, case)
    except DataError as error:
        if error.file == cache.root:  # the disk's fault, not the case's
            raise
        return error
    except Exception as error:
        error.add_note(f"while preparing case {case.case} ({case.files[0]})")
        raise


def _in_worker() -> None:
    """Let the parent decide when to stop, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


def _before_writing(cache: Cache, cases: Sequence[Case]) -> None:
    """Refuse a folder that cannot be written to or is too full; tidy up; say what will be done."""
    root = cache.root
    try:
        check_writable(root)
    except DataError as error:
        raise DataError(
            f"{counted(len(cases))} not yet prepared in this cache, which cannot be written to",
            file=root,
            remedy="have whoever owns it prepare them, or name a folder of your own: "
            "data.cache=/path",
        ) from error
    wanted = {case.case for case in cases}
    outdated = 0
    for entry in os.scandir(root):
        if entry.name.startswith(".") and entry.name.endswith(".partial"):
            _remove_left_over(Path(entry.path))
        elif entry.name.rpartition("-")[0] in wanted:
            outdated += _is_of_another_version(Path(entry.path))
    needed = estimated_bytes(cases, cache.preprocess.spacing)
    free = shutil.disk_usage(root).free
    log.info(
        "%s to prepare: about %s in %s, where %s are free",
        counted(len(cases)),
        readable(needed),
        root,
        readable(free),
    )
    check_space(root, needed)
    if outdated:
        log.info(
            "%s prepared by another version of this software will be prepared anew; the old "
            "folders in %s can be removed",
            counted(outdated),
            root,
        )


def _remove_left_over(path: Path) -> None:
    try:
        if time.time() - path.stat().st_mtime > LEFT_OVER:
            shutil.rmtree(path)
    except OSError:
        pass  # somebody else's, or gone by now


def _is_of_another_version(folder: Path) -> bool:
    try:
        return CachedCase(folder).meta.get("version") != VERSION
    except DataError:
        return False
