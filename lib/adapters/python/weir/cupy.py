# SPDX-License-Identifier: Apache-2.0
"""weir as CuPy's allocator.

    import weir.cupy
    weir.cupy.install()

An array is in the order of the stream that was current when it was allocated, and is freed in that order, whatever
became of the stream; as with CuPy's own pool, a use on another stream has to be ordered before the array goes.
"""

import ctypes

import cupy

from . import _library, configure

_SIGNATURE = b"intptr_t (void)"
_installed = None


class OutOfMemoryError(cupy.cuda.memory.OutOfMemoryError, _library.OutOfMemoryError):
    """CuPy's, with weir's account of who holds the memory."""

    def __init__(self, text):
        MemoryError.__init__(self, text)
        self.status = _library.OUT_OF_MEMORY


def install(options=None, **others):
    """Makes weir CuPy's allocator in this process, for what is allocated from now on."""
    global _installed
    configure(options, **others)
    if _installed is None:
        _installed = _c_allocator() or _python_allocator()
    cupy.cuda.set_allocator(_installed)


def _raise_last():
    try:
        _library.raise_last(_library.last_status())
    except _library.OutOfMemoryError as why:
        raise OutOfMemoryError(str(why)) from None


def _current_stream_function():
    """The address of CuPy's own, with which no Python runs in an allocation; None where this CuPy has no such."""
    try:
        from cupy_backends.cuda import stream

        capsule = stream.__pyx_capi__["get_current_stream_ptr"]
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        return get(capsule, _SIGNATURE)
    except (ImportError, AttributeError, KeyError, ValueError):
        return None


def _c_allocator():
    current_stream = _current_stream_function()
    if not current_stream:
        return None
    allocator = cupy.cuda.memory.CFunctionAllocator(
        current_stream,
        _library.address_of("weir_cupy_malloc"),
        _library.address_of("weir_cupy_free"),
        _library.library(),
    )

    def malloc(size):
        memory = allocator.malloc(size)
        if memory.ptr == 0 and size > 0:
            _raise_last()
        return memory

    return malloc


def _python_allocator():
    lib = _library.library()

    def malloc(size, device):
        pointer = ctypes.c_void_p()
        stream = cupy.cuda.get_current_stream().ptr
        if lib.weir_host_allocate(device, size, stream, ctypes.byref(pointer)) != 0:
            _raise_last()
        return pointer.value

    def free(pointer, device):
        lib.weir_host_deallocate(pointer, 0, device)

    return cupy.cuda.PythonFunctionAllocator(malloc, free).malloc
