# SPDX-License-Identifier: Apache-2.0
"""A CuPy program on two streams, with CuPy's own pool and with weir: the same numbers, the memory each held and the
time. With torch in the same process both would share weir's memory.

    PYTHONPATH=build/release/python examples/08_cupy.py

Leaves with 4 where there is no CuPy or no GPU.
"""

import hashlib
import sys
import time

try:
    import cupy

    cupy.cuda.runtime.getDeviceCount()
except Exception as why:  # no CuPy, no driver, no device
    print(f"08_cupy: {why}")
    sys.exit(4)

import weir
import weir.cupy

ROUNDS = 150


def work():
    """Tiles of random size are made on one stream and reduced on another: sizes that never come again."""
    produce, consume = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    sha = hashlib.sha256()
    kept = []
    for i in range(ROUNDS):
        rows = 64 + (i * 37) % 900
        with produce:
            tile = cupy.arange(rows * 4096, dtype=cupy.float32).reshape(rows, 4096) % (i + 7)
            tile = cupy.sqrt(tile * tile + 1) - tile
            ready = produce.record()
        consume.wait_event(ready)
        with consume:
            kept.append((tile - tile.mean(axis=0)).max(axis=1))
            done = consume.record()
        produce.wait_event(done)  # before the tile goes back to its stream
        if len(kept) > 20:
            sha.update(cupy.asnumpy(kept.pop(0), stream=consume).tobytes())
    consume.synchronize()
    for each in kept:
        sha.update(cupy.asnumpy(each).tobytes())
    return sha.hexdigest()[:16]


def timed():
    work()
    begin = time.perf_counter()
    result = work()
    cupy.cuda.Device().synchronize()
    return result, (time.perf_counter() - begin) / ROUNDS * 1e3


own, own_ms = timed()
pool = cupy.get_default_memory_pool()
own_bytes = pool.total_bytes()
pool.free_all_blocks()

weir.cupy.install()
ours, our_ms = timed()
now = weir.statistics()

print(f"{'':12}{'MiB reserved':>14}{'ms a round':>12}  result")
print(f"{'CuPy':12}{own_bytes / 2**20:14.0f}{own_ms:12.3f}  {own}")
print(f"{'weir':12}{now['reserved_peak'] / 2**20:14.0f}{our_ms:12.3f}  {ours}")
print(f"weir: {now['allocations']} allocations, {now['hit_rate']:.4f} of them without a native call")
sys.exit(0 if own == ours else 1)
