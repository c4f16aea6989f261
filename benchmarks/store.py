"""Where prepared volumes lie: plain `.npy` maps beside blosc2 and zarr 3.

    python benchmarks/store.py            # 8 phantom patients at 1 mm: some minutes
    python benchmarks/store.py --quick    # half the resolution, regions of 64³: a minute

Each store holds the same prepared images, (4, x, y, z) half precision, cut to the brain. Read are
regions of 128³ at random places of random cases, opened anew each time as a training worker does,
by one process and by two. Warm: the files are in the page cache. Cold: before each read the case's
pages are dropped from it (the drop is not timed). Compressed stores use one thread a process, as
there are as many processes as cores.

Bar: none; the table chooses the store of `lightning_brats.data.entry`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import load_cases

Region = tuple[slice, ...]


class Store(NamedTuple):
    """One way to keep an array.

    Args:
        write: Array and path → file or folder.
        read: Path and region → array in memory.
    """

    write: Callable[[np.ndarray, Path], None]
    read: Callable[[Path, Region], np.ndarray]


def write_npy(array: np.ndarray, path: Path) -> None:
    """Plain, uncompressed."""
    with path.open("wb") as file:
        np.save(file, array)


def read_npy(path: Path, region: Region) -> np.ndarray:
    """Mapped, copied."""
    return np.array(np.load(path, mmap_mode="r")[region])


def blosc2_store(codec: str, level: int, block: int, chunk: int) -> Store:
    """Chunks of all channels, in blocks of one channel that are decompressed one by one."""

    def write(array: np.ndarray, path: Path) -> None:
        import blosc2

        blosc2.set_nthreads(1)
        chunks = (1, *(min(chunk, n) for n in array.shape[1:]))
        blosc2.asarray(
            array,
            chunks=chunks,
            blocks=(1, *(min(block, n) for n in chunks[1:])),
            cparams={"codec": getattr(blosc2.Codec, codec), "clevel": level, "nthreads": 1},
            urlpath=str(path),
            mode="w",
        )

    def read(path: Path, region: Region) -> np.ndarray:
        import blosc2

        blosc2.set_nthreads(1)
        return blosc2.open(str(path), mode="r", mmap_mode="r")[region]

    return Store(write, read)


def zarr_store(chunk: int, shard: bool) -> Store:
    """Chunks compressed with LZ4 by blosc, one file each or all in one."""

    def write(array: np.ndarray, path: Path) -> None:
        import zarr

        chunks = (array.shape[0], *(min(chunk, n) for n in array.shape[1:]))
        shards = (
            chunks[0],
            *(-(-n // c) * c for n, c in zip(array.shape[1:], chunks[1:], strict=True)),
        )
        stored = zarr.create_array(
            path,
            shape=array.shape,
            dtype=array.dtype,
            chunks=chunks,
            shards=shards if shard else None,
            compressors=zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
        )
        stored[:] = array

    def read(path: Path, region: Region) -> np.ndarray:
        import zarr

        return zarr.open_array(path, mode="r")[region]

    return Store(write, read)


STORES = {
    "npy map": Store(write_npy, read_npy),
    "blosc2 lz4, blocks 32³": blosc2_store("LZ4", 5, 32, 128),
    "blosc2 zstd, blocks 32³": blosc2_store("ZSTD", 3, 32, 128),
    "blosc2 zstd, blocks 64³": blosc2_store("ZSTD", 3, 64, 128),
    "zarr 3 lz4, chunks 64³": zarr_store(64, shard=False),
    "zarr 3 lz4, chunks 64³, one shard": zarr_store(64, shard=True),
}


def images(folder: Path, cases: int, spacing: float) -> list[np.ndarray]:
    """Prepared phantom patients."""
    root = write_phantom(folder / "phantom", layout="brats2021", cases=cases, spacing=spacing)
    prepare = Preprocess()
    return [prepare(case, prepare.read(case)).image for case in load_cases(root).cases]


def regions(shapes: Sequence[tuple[int, ...]], size: int, count: int, seed: int) -> list[tuple]:
    """(case, region) at random places, as training draws them."""
    rng = np.random.default_rng(seed)
    drawn = []
    for case in rng.integers(len(shapes), size=count):
        corner = [rng.integers(max(n - size, 0) + 1) for n in shapes[case][1:]]
        drawn.append((int(case), (slice(None), *(slice(int(c), int(c) + size) for c in corner))))
    return drawn


def drop_pages(path: Path) -> None:
    """Take a store's files out of the page cache."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_all(name: str, paths: list[Path], drawn: list[tuple], cold: bool) -> float:
    """Seconds that reading took, of this process."""
    read = STORES[name].read
    read(paths[drawn[0][0]], drawn[0][1])  # imports
    if not cold:
        for path in paths:
            read(path, (slice(None),) * 4)
    total = 0.0
    for case, region in drawn:
        if cold:
            drop_pages(paths[case])
        start = time.perf_counter()
        found = read(paths[case], region)
        total += time.perf_counter() - start
        assert found.dtype == np.float16
    return total


def rate(name: str, paths: list[Path], size: int, count: int, processes: int, cold: bool) -> float:
    """Regions a second of all processes together; with two, each has half of the cases."""
    shapes = [np.load(path.with_suffix(".shape.npy")).tolist() for path in paths]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn) as pool:
        futures = []
        for rank in range(processes):
            own = slice(rank, None, processes)
            drawn = regions(shapes[own], size, count, seed=rank)
            futures.append(pool.submit(read_all, name, paths[own], drawn, cold))
        slowest = max(future.result() for future in futures)
    return processes * count / slowest


def bytes_of(paths: Sequence[Path]) -> int:
    """Bytes on disk."""
    files = [f for p in paths for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    return sum(file.stat().st_blocks * 512 for file in files)


def measure(
    name: str, arrays: list[np.ndarray], folder: Path, size: int, count: int
) -> dict[str, float]:
    """Write, check, and read in all four ways."""
    paths = [folder / f"{i}.{'b2nd' if 'blosc2' in name else 'data'}" for i in range(len(arrays))]
    store = STORES[name]
    store.write(arrays[0], folder / "warm-up.b2nd")
    start = time.perf_counter()
    for array, path in zip(arrays, paths, strict=True):
        store.write(array, path)
    seconds = (time.perf_counter() - start) / len(arrays)
    os.sync()  # pages that are not on the disk yet cannot be dropped
    for array, path in zip(arrays, paths, strict=True):
        np.save(path.with_suffix(".shape.npy"), array.shape)
        assert np.array_equal(store.read(path, (slice(None),) * 4), array), f"{name} is not exact"
    found = {"mb_a_case": bytes_of(paths) / len(paths) / 1e6, "write_s": seconds}
    for processes in (1, 2):
        for cold in (False, True):
            key = f"{'cold' if cold else 'warm'}_{processes}"
            found[key] = rate(name, paths, size, count, processes, cold)
    return found


def main() -> None:
    """Measure every store in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the voxels")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--reads", type=int, default=40, help="regions a process and setting")
    parser.add_argument("--folder", type=Path, help="of the disk to measure; temporary by default")
    options = parser.parse_args()
    size, spacing = (64, 2.0) if options.quick else (128, 1.0)
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        arrays = images(Path(temporary), options.cases, spacing)
        for name in STORES:
            folder = Path(temporary) / "store"
            folder.mkdir()
            found = measure(name, arrays, folder, size, options.reads)
            results[name] = {key: round(value, 3) for key, value in found.items()}
            shutil.rmtree(folder)
    print(
        f"Regions of {size}³ × 4 a second, {options.cases} cases of {arrays[0].shape} and so on\n"
    )
    print("| store | MB a case | write s | warm, 1 | cold, 1 | warm, 2 | cold, 2 |")
    print("|---|---|---|---|---|---|---|")
    for name, r in results.items():
        rates = " | ".join(f"{r[k]:.1f}" for k in ("warm_1", "cold_1", "warm_2", "cold_2"))
        print(f"| {name} | {r['mb_a_case']:.1f} | {r['write_s']:.2f} | {rates} |")
    own, *others = (found["warm_2"] for found in results.values())
    record = {
        "benchmark": "store",
        "ours": own,
        "peer": max(others),
        "ratio": round(own / max(others), 2),
        "unit": "regions/s",
        "region": size,
        "stores": results,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
