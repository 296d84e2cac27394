# SPDX-License-Identifier: Apache-2.0
"""What weir promises to a Numba program. Exit 4 where there is no Numba or no GPU."""

import sys

from torch_rules import GIB, MIB, expect, fact, failed

try:
    import numpy
    import weir.numba
    from numba import cuda

    weir.numba.install("bytes_max=4GiB")
    cuda.current_context()
except Exception as why:
    print(f"skipped: {why}")
    sys.exit(4)

import weir


@cuda.jit
def add(x, value):
    i = cuda.grid(1)
    if i < x.size:
        x[i] += value


def run(x, value, stream=0):
    add[(x.size + 255) // 256, 256, stream](x, value)


@fact("arrays come from weir, and kernels compute on them")
def _():
    before = weir.statistics()["allocated"]
    x = cuda.to_device(numpy.zeros(MIB, dtype=numpy.float32))
    assert weir.statistics()["allocated"] >= before + 4 * MIB
    run(x, 3)
    assert (x.copy_to_host() == 3).all()


@fact("a block freed and allocated again is right on every stream")
def _():
    streams = [cuda.stream() for _ in range(4)]
    kept = []

    def is_right(number, x, stream):
        host = x.copy_to_host(stream=stream)
        stream.synchronize()
        return bool((host == number + 1).all())

    for round in range(200):
        stream = streams[round % 4]
        x = cuda.to_device(numpy.full(100_000, round, dtype=numpy.float32), stream=stream)
        run(x, 1, stream)
        kept.append((round, x, stream))
        if len(kept) > 5:
            assert is_right(*kept.pop(round % 5))
        del x
    assert all(is_right(*each) for each in kept)


@fact("memory is given back where it is short, and running out of it says who holds it")
def _():
    for _ in range(40):
        cuda.device_array(GIB, dtype=numpy.uint8)  # freed at once
    held = [cuda.device_array(GIB, dtype=numpy.uint8) for _ in range(3)]
    expect(
        weir.OutOfMemoryError, lambda: [cuda.device_array(GIB, dtype=numpy.uint8) for _ in range(3)], "out of memory"
    )
    del held
    cuda.device_array(3 * GIB, dtype=numpy.uint8)


@fact("get_memory_info counts what the pool could give")
def _():
    info = cuda.current_context().get_memory_info()
    assert 0 < info.free <= info.total


@fact("nothing gathered goes while clean-up is deferred")
def _():
    with cuda.defer_cleanup():
        before = weir.statistics()["live_count"]
        for _ in range(200):
            cuda.device_array(1000, dtype=numpy.uint8)
        assert weir.statistics()["live_count"] >= before + 200
    for _ in range(200):
        cuda.device_array(1000, dtype=numpy.uint8)
    assert weir.statistics()["live_count"] < before + 200


@fact("memory from a pool has no IPC handle, and it says so")
def _():
    expect(NotImplementedError, lambda: cuda.device_array(1000).get_ipc_handle(), "IPC")


sys.exit(1 if failed else 0)
