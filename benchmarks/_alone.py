"""Methods in processes of their own, run in turn, so that time and memory are each one's own.

A method is prepared once and then called with other input again and again, all methods in turn and
every second time backwards, so that a machine that warms up or is disturbed treats all alike. Peak
memory is what a process held at most over what it held when prepared (libraries, network, input),
as Linux counts it (VmHWM; `ru_maxrss` would begin with what the parent process had held).
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Method = Callable[..., Any]


@dataclass
class Cost:
    """What the calls of a method took.

    Args:
        seconds: One entry a call.
        peak_mb: Largest memory of all calls over that of the prepared process, in MiB.
        result: Of the last call.
    """

    seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    result: Any = None

    @property
    def median(self) -> float:
        """Median time of a call."""
        return statistics.median(self.seconds)


def measure(
    methods: Mapping[str, tuple[Callable[..., Method], tuple]],
    inputs: Mapping[str, tuple] | Sequence[tuple],
    repeats: int = 1,
) -> dict[str, Cost]:
    """Call every method with its input so many times, or with each of several inputs.

    Args:
        methods: Name → how to prepare it: a function of a module, and its arguments.
        inputs: Arguments of each method's calls, or of one call after the other of all methods.
        repeats: Calls with each input; one more comes first and is not timed.

    Returns:
        Name → cost.
    """
    turns = [inputs] if isinstance(inputs, Mapping) else [dict.fromkeys(methods, i) for i in inputs]
    turns = [turns[0], *(turn for turn in turns for _ in range(repeats))]
    spawn = multiprocessing.get_context("spawn")
    pools = {
        name: ProcessPoolExecutor(1, spawn, initializer=_prepare, initargs=how)
        for name, how in methods.items()
    }
    costs = {name: Cost() for name in methods}
    try:
        for number, given in enumerate(turns):
            order = list(pools.items())
            for name, pool in order[:: 1 if number % 2 else -1]:
                cost = costs[name]
                seconds, cost.peak_mb, cost.result = pool.submit(_call, given[name]).result()
                if number:
                    cost.seconds.append(seconds)
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)
    return costs


_prepared: dict[str, Any] = {}


def _prepare(factory: Callable[..., Method], arguments: tuple) -> None:
    _prepared["method"] = factory(*arguments)
    _prepared["held_kb"] = _memory_kb("VmRSS")


def _call(given: tuple) -> tuple[float, float, Any]:
    start = time.perf_counter()
    result = _prepared["method"](*given)
    seconds = time.perf_counter() - start
    return seconds, (_memory_kb("VmHWM") - _prepared["held_kb"]) / 1024, result


def _memory_kb(kind: str) -> int:
    """What this process holds (`VmRSS`) or has held at most (`VmHWM`)."""
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])
