# SPDX-License-Identifier: Apache-2.0
"""libweir_torch.so by ctypes: finding it, its structures, its statuses as exceptions."""

import ctypes
import os
import pathlib

SIMULATED = 1
TRACEABLE = 2
NO_PEERS = 4

OUT_OF_MEMORY = 1
FORKED = 31

_NAME = "libweir_torch.so"


class Error(RuntimeError):
    """What the library says no to. ``status`` is weir_status's number."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class OutOfMemoryError(Error, MemoryError):
    pass


class Statistics(ctypes.Structure):
    """weir_statistics of weir/c.h."""

    _fields_ = (
        [("struct_bytes", ctypes.c_size_t)]
        + [
            (name, ctypes.c_uint64)
            for name in "allocated free held reserved direct cached cached_large pending largest_free".split()
        ]
        + [("fragmentation", ctypes.c_double)]
        + [
            (name, ctypes.c_uint64)
            for name in (
                "allocated_peak held_peak reserved_peak allocations deallocations failures live_count "
                "served_cache served_heap served_big_cache served_other_passed served_native served_other_waited "
                "served_direct native_allocate native_deallocate native_grow native_trim native_record native_query "
                "native_wait native_synchronize waits_inserted waits_fresh splits merges pressure_events stream_count"
            ).split()
        ]
        + [("cached_rate", ctypes.c_double), ("hit_rate", ctypes.c_double), ("pinned", ctypes.c_uint64)]
    )


class LastError(ctypes.Structure):
    """weir_error of weir/c.h."""

    _fields_ = [
        ("struct_bytes", ctypes.c_size_t),
        ("status", ctypes.c_int),
        ("native_code", ctypes.c_int),
        ("bytes", ctypes.c_size_t),
        ("limit", ctypes.c_size_t),
        ("has_report", ctypes.c_int),
    ]


class Block(ctypes.Structure):
    """weir_block of weir/c.h."""

    _fields_ = [
        ("struct_bytes", ctypes.c_size_t),
        ("pointer", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("is_direct", ctypes.c_int),
        ("stream_id", ctypes.c_uint64),
    ]


BLOCK_STATES = ("live", "cached", "free", "pending")
VISITOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Block))


def path():
    """WEIR_LIBRARY, or the library beside this package."""
    named = os.environ.get("WEIR_LIBRARY")
    if named:
        if not os.path.exists(named):
            raise ImportError(f"weir: WEIR_LIBRARY names {named}, which is not there; build it (target weir_torch)")
        return pathlib.Path(named)
    here = pathlib.Path(__file__).resolve().parent
    for folder in (here, here.parent, here.parent.parent):
        if (folder / _NAME).exists():
            return folder / _NAME
    raise ImportError(f"weir: no {_NAME} in {here} or above; build it (target weir_torch) or name it by WEIR_LIBRARY")


_loaded = None


def library():
    """The library, loaded once; torch loads the same file and gets the same one."""
    global _loaded
    if _loaded is None:
        _loaded = _declare(ctypes.CDLL(str(path())))
    return _loaded


def _declare(lib):
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    by_name = {
        "weir_version": (ctypes.c_char_p, []),
        "weir_status_name": (ctypes.c_char_p, [number]),
        "weir_last_error_text": (ctypes.c_char_p, []),
        "weir_last_error": (number, [ctypes.POINTER(LastError)]),
        "weir_host_configure": (number, [ctypes.c_char_p, ctypes.c_uint]),
        "weir_host_pool": (number, [number, ctypes.POINTER(pointer)]),
        "weir_host_pool_if_made": (pointer, [number]),
        "weir_host_live_count": (ctypes.c_uint64, []),
        "weir_host_allocate": (number, [number, size, pointer, ctypes.POINTER(pointer)]),
        "weir_host_deallocate": (number, [pointer, size, number]),
        "weir_host_record_use": (number, [pointer, pointer]),
        "weir_host_release_free": (number, []),
        "weir_host_set_memory_fraction": (number, [number, ctypes.c_double]),
        "weir_host_allocate_for_all": (number, [number, size, ctypes.POINTER(pointer)]),
        "weir_host_deallocate_from_all": (number, [pointer, size, number]),
        "weir_host_hold_gathered": (None, [number, number]),
        "weir_host_trace_begin": (number, [ctypes.c_char_p]),
        "weir_host_trace_end": (number, []),
        "weir_get_statistics": (number, [pointer, ctypes.POINTER(Statistics)]),
        "weir_walk": (number, [pointer, VISITOR, pointer]),
        "weir_defragment": (number, [pointer, pointer]),
    }
    for name, (result, arguments) in by_name.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def address_of(name):
    """The address of one of its functions, for hosts that take addresses."""
    return ctypes.cast(getattr(library(), name), ctypes.c_void_p).value


def check(status):
    """Nothing where that is WEIR_OK; else the exception that says what happened."""
    if status == 0:
        return
    raise_last(status)


def last_status():
    error = LastError(struct_bytes=ctypes.sizeof(LastError))
    library().weir_last_error(ctypes.byref(error))
    return error.status


def raise_last(status):
    text = library().weir_last_error_text().decode()
    if status == OUT_OF_MEMORY:
        raise OutOfMemoryError(status, f"weir: {text}")
    if status == FORKED:
        text += (
            "; this process was forked from one that used the GPU, whose memory it cannot use. "
            "Start workers with multiprocessing's spawn"
        )
    raise Error(status, f"weir: {text}")
