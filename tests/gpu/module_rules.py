# SPDX-License-Identifier: Apache-2.0
"""The Python package on simulated pools: what needs neither a GPU nor a host. Exit 1 where a fact does not hold."""

import ctypes
import os
import subprocess
import sys
import tempfile

from torch_rules import MIB, expect, fact, failed

import weir
from weir import _library

weir.configure("bytes_max=256MiB", simulated=True)
lib = _library.library()


def allocate(size, device=0):
    pointer = ctypes.c_void_p()
    _library.check(lib.weir_host_allocate(device, size, None, ctypes.byref(pointer)))
    return pointer.value


def in_a_process(text):
    code = (
        "import ctypes, weir\nfrom weir import _library\nweir.configure(simulated=True)\nlib = _library.library()\n"
        + text
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


ALLOCATE = "p = ctypes.c_void_p()\n_library.check(lib.weir_host_allocate(0, 5000, None, ctypes.byref(p)))\n"
FREE = "free = lib.weir_torch_free\nfree.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]\n"


@fact("statistics and a snapshot see a block")
def _():
    p = allocate(5000)
    assert weir.devices() == [0] and weir.version().count(".") == 2
    assert weir.statistics()["allocated"] == 5120 and weir.statistics()["live_count"] == 1
    live = [b for b in weir.snapshot()[0]["blocks"] if b["state"] == "live"]
    assert [b["address"] for b in live] == [p] and live[0]["bytes"] == 5120
    _library.check(lib.weir_host_deallocate(p, 5000, 0))
    assert weir.statistics()["allocated"] == 0
    weir.defragment()
    weir.release_free()
    assert weir.statistics()["reserved"] == 0


@fact("errors have a status, a sentence and a kind")
def _():
    error = expect(weir.OutOfMemoryError, lambda: allocate(512 * MIB), "out of memory", str(256 * MIB))
    assert error.status == 1 and isinstance(error, MemoryError) and isinstance(error, weir.Error)
    expect(weir.Error, lambda: _library.check(lib.weir_host_deallocate(1 << 20, 0, -1)), "foreign pointer")


@fact("options are refused by name, and may not change at work")
def _():
    expect(weir.Error, lambda: weir.configure("bytes_max=1GiB"), "already")
    weir.configure()  # none: whatever there is
    bad = in_a_process("weir._configured = None\nweir.configure('bytes_max=lots', simulated=True)")
    assert "bytes_max" in bad.stderr and "lots" in bad.stderr, bad.stderr


@fact("a trace needs pools that were made for it, or none yet")
def _():
    expect(weir.Error, lambda: weir.trace("/tmp/never.weir").__enter__(), "traced")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.weir")
        done = in_a_process(f"with weir.trace({path!r}):\n    " + ALLOCATE.replace("\n", "\n    "))
        assert done.returncode == 0 and os.path.getsize(path) > 50, done.stderr
        os.environ["WEIR_TRACE"] = other = os.path.join(folder, "b.weir")
        done = in_a_process(ALLOCATE)
        del os.environ["WEIR_TRACE"]
        assert done.returncode == 0 and os.path.getsize(other) > 50, done.stderr


@fact("a host that frees with the wrong size, on another device or twice ends with a line that says so")
def _():
    for how, what in (
        ("free(p, 50000, 0, None)", "size mismatch"),
        ("free(p, 5000, 1, None)", "device"),
        ("free(p, 5000, 0, None)\nfree(p, 5000, 0, None)", "foreign pointer"),
    ):
        done = in_a_process(ALLOCATE + FREE + how)
        assert done.returncode == -6 and what in done.stderr, (done.returncode, done.stderr)
    assert in_a_process(ALLOCATE + FREE + "free(p, 5000, 0, None)").returncode == 0


@fact("a forked child is told to spawn, and what it frees is let be")
def _():
    done = in_a_process(
        ALLOCATE
        + FREE
        + "import os\nif os.fork() == 0:\n    free(p, 5000, 0, None)\n    weir.statistics()\nelse:\n    os.wait()\n"
    )
    assert "forked" in done.stderr and "spawn" in done.stderr, done.stderr


@fact("a library that is missing is named with the way to build it")
def _():
    done = subprocess.run(
        [sys.executable, "-c", "import weir; weir.statistics()"],
        env={**os.environ, "WEIR_LIBRARY": "/nowhere/libweir_torch.so"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ImportError: weir: WEIR_LIBRARY names /nowhere" in done.stderr and "target" in done.stderr, done.stderr


sys.exit(1 if failed else 0)
