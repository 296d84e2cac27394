# SPDX-License-Identifier: Apache-2.0
"""What weir promises to a CuPy program. Exit 4 where there is no CuPy or no GPU."""

import sys

from torch_rules import GIB, MIB, expect, fact, failed

try:
    import cupy

    cupy.cuda.runtime.getDeviceCount()
except Exception as why:
    print(f"skipped: {why}")
    sys.exit(4)

import weir
import weir.cupy

weir.cupy.install("bytes_max=4GiB")


@fact("arrays come from weir and go back to it")
def _():
    before = weir.statistics()["allocated"]
    x = cupy.arange(10 * MIB, dtype=cupy.float32)
    assert weir.statistics()["allocated"] >= before + 40 * MIB
    assert float(x[-1]) == 10 * MIB - 1
    del x
    assert weir.statistics()["allocated"] == before
    assert cupy.empty(0).size == 0


@fact("CuPy's current stream is the block's, and CuPy asks without Python")
def _():
    assert weir.cupy._current_stream_function()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        x = cupy.ones(5000, dtype=cupy.uint8)
        address = x.data.ptr
        del x
        y = cupy.ones(5000, dtype=cupy.uint8)
        assert y.data.ptr == address  # on the same stream at once
    z = cupy.ones(5000, dtype=cupy.uint8)
    assert z.data.ptr != address
    stream.synchronize()


@fact("a stream destroyed before its arrays harms nobody")
def _():
    for round in range(50):
        with cupy.cuda.Stream(non_blocking=True) as stream:
            x = cupy.full(3 * MIB, round, dtype=cupy.uint8)
            stream.synchronize()
        del stream
        assert int((x != round).sum()) == 0
        del x


@fact("out of memory is CuPy's own exception with weir's account, and passes")
def _():
    error = expect(
        cupy.cuda.memory.OutOfMemoryError, lambda: cupy.empty(8 * GIB, dtype=cupy.uint8), "out of memory", "limit"
    )
    assert isinstance(error, weir.OutOfMemoryError) and isinstance(error, MemoryError)
    cupy.empty(GIB, dtype=cupy.uint8)


@fact("the way through Python does the same")
def _():
    cupy.cuda.set_allocator(weir.cupy._python_allocator())
    before = weir.statistics()["live_count"]
    x = cupy.ones(MIB)
    assert weir.statistics()["live_count"] == before + 1 and float(x.sum()) == MIB
    expect(cupy.cuda.memory.OutOfMemoryError, lambda: cupy.empty(8 * GIB, dtype=cupy.uint8), "out of memory")
    del x
    assert weir.statistics()["live_count"] == before
    weir.cupy.install()


@fact("results are those of CuPy's own pool")
def _():
    def work():
        total = []
        for n in range(1, 40):
            a = cupy.arange(n * 1024, dtype=cupy.float32).reshape(n * 16, 64)
            total.append(cupy.asnumpy((cupy.sqrt(a) * a).sum(axis=0)).tobytes())
        return b"".join(total)

    ours = work()
    cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)
    assert ours == work()
    weir.cupy.install()


sys.exit(1 if failed else 0)
