# SPDX-License-Identifier: Apache-2.0
"""weir as the allocator of PyTorch, CuPy and Numba: one memory for all that a process has on its GPUs.

    import weir.torch
    weir.torch.install()              # before the first tensor on a GPU
    ...
    print(weir.statistics()["reserved_peak"])

Options are those of weir/options_text.hpp, given to install() or by WEIR_OPTIONS, which has the last word:
``WEIR_OPTIONS="bytes_max=40GiB,trim=decay(500ms)"``. ``WEIR_TRACE=FILE`` records what is allocated, for
``weir replay``.
"""

import atexit
import contextlib
import ctypes
import os

from . import _library
from ._library import Error, OutOfMemoryError

__all__ = [
    "Error",
    "OutOfMemoryError",
    "configure",
    "defragment",
    "devices",
    "release_free",
    "snapshot",
    "statistics",
    "trace",
    "version",
]

_DEVICES_MAX = 64

_configured = None


def version():
    return _library.library().weir_version().decode()


def configure(options=None, *, traceable=None, peers=True, simulated=False):
    """Sets the options of all pools, before the first is made: once, or again with the same, or with none.

    ``traceable`` lets trace() begin at any time; it costs each allocation a few nanoseconds. By default that is so
    where WEIR_TRACE is set. Without ``peers`` no GPU can use another's memory directly, and pools grow quicker where
    there are several: for programs that use one of the GPUs they see. ``simulated`` pools have no GPU: for tests of
    programs that only ask for memory.
    """
    global _configured
    if _configured is not None and options is None and traceable is None and peers and not simulated:
        return
    path = os.environ.get("WEIR_TRACE")
    traceable = bool(path) if traceable is None else bool(traceable)
    wanted = (options or "", traceable, peers, simulated)
    if _configured == wanted:
        return
    if _configured is not None and devices():
        raise Error(20, f"weir: configured as {_configured} already, and at work; cannot change to {wanted}")
    flags = (
        (_library.SIMULATED if simulated else 0)
        | (_library.TRACEABLE if traceable else 0)
        | (0 if peers else _library.NO_PEERS)
    )
    _library.check(_library.library().weir_host_configure(wanted[0].encode(), flags))
    _configured = wanted
    if path:
        _begin_trace(path)


def devices():
    """The devices that have a pool by now."""
    lib = _library.library()
    return [device for device in range(_DEVICES_MAX) if lib.weir_host_pool_if_made(device)]


def _pool(device):
    configure()
    pool = ctypes.c_void_p()
    _library.check(_library.library().weir_host_pool(device, ctypes.byref(pool)))
    return pool


def statistics(device=0):
    """What the device's pool has and has done, as a dict: include/weir/statistics.hpp says what each number is."""
    numbers = _library.Statistics(struct_bytes=ctypes.sizeof(_library.Statistics))
    _library.check(_library.library().weir_get_statistics(_pool(device), ctypes.byref(numbers)))
    return {name: getattr(numbers, name) for name, _ in numbers._fields_ if name != "struct_bytes"}


def snapshot(device=None):
    """Every block and free range of one device, or of all that have a pool: a list of dicts of plain values."""
    return [
        {"device": each, "statistics": statistics(each), "blocks": _blocks(each)}
        for each in (devices() if device is None else [device])
    ]


def _blocks(device):
    found = []

    @_library.VISITOR
    def visit(_context, block):
        b = block.contents
        found.append((b.pointer or 0, b.bytes, b.state, b.stream_id, b.is_direct))

    _library.check(_library.library().weir_walk(_pool(device), visit, None))
    return [
        {
            "address": address,
            "bytes": size,
            "state": _library.BLOCK_STATES[state],
            "stream": stream,
            "direct": bool(direct),
        }
        for address, size, state, stream, direct in sorted(found)
    ]


def release_free():
    """Waits for the devices and gives all that is free back to the driver: what torch.cuda.empty_cache() calls."""
    _library.check(_library.library().weir_host_release_free())


def defragment(device=0):
    """Brings free memory together. Live blocks never move."""
    _library.check(_library.library().weir_defragment(_pool(device), None))


def _begin_trace(path):
    _library.check(_library.library().weir_host_trace_begin(os.fsencode(path)))
    atexit.register(_end_trace)


def _end_trace():
    atexit.unregister(_end_trace)
    _library.check(_library.library().weir_host_trace_end())


@contextlib.contextmanager
def trace(path):
    """Records what all pools do meanwhile into a trace, for ``weir replay``: not what was live already.

    Needs configure(traceable=True), or install() with it, unless no pool has been made yet.
    """
    if _configured is None or not (_configured[1] or devices()):
        options, _, peers, simulated = _configured or ("", False, True, False)
        configure(options, traceable=True, peers=peers, simulated=simulated)
    _begin_trace(path)
    try:
        yield path
    finally:
        _end_trace()
