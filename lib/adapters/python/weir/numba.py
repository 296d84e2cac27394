# SPDX-License-Identifier: Apache-2.0
"""weir as Numba's memory manager, an EMM plugin.

    import weir.numba
    weir.numba.install()              # or NUMBA_CUDA_MEMORY_MANAGER=weir.numba

Numba's interface names no stream and its arrays may be used on any, so a block is for all of them when it is handed
out; freed ones gather, and the device is waited for once for many of them. What torch or CuPy allocate on streams in
the same process comes from the same memory.
"""

import contextlib
import ctypes

from numba import cuda
from numba.cuda import HostOnlyCUDAMemoryManager, MemoryPointer

try:
    from numba.cuda import MemoryInfo
except ImportError:
    from numba.cuda.cudadrv.driver import MemoryInfo

from . import _library, configure, statistics


class MemoryManager(HostOnlyCUDAMemoryManager):
    """numba.cuda.BaseCUDAMemoryManager on weir; pinned and mapped host memory stay Numba's."""

    def memalloc(self, size):
        configure()
        lib, device = _library.library(), self.context.device.id
        pointer = ctypes.c_void_p()
        _library.check(lib.weir_host_allocate_for_all(device, size, ctypes.byref(pointer)))
        address = pointer.value or 0

        def finalizer():
            lib.weir_host_deallocate_from_all(address, size, device)

        return MemoryPointer(self.context, ctypes.c_void_p(address), size, finalizer=finalizer)

    def initialize(self):
        pass  # a pool is made at its device's first allocation

    def get_ipc_handle(self, memory):
        raise NotImplementedError("weir: memory from a pool has no CUDA IPC handle")

    def get_memory_info(self):
        """What the device has free, and what is free in the pool with it."""
        free, total = _device_memory()
        numbers = statistics(self.context.device.id)
        return MemoryInfo(free=free + numbers["reserved"] - numbers["held"] + numbers["free"], total=total)

    @contextlib.contextmanager
    def defer_cleanup(self):
        lib, device = _library.library(), self.context.device.id
        with super().defer_cleanup():
            lib.weir_host_hold_gathered(device, 1)
            try:
                yield
            finally:
                lib.weir_host_hold_gathered(device, -1)

    @property
    def interface_version(self):
        return 1


def _device_memory():
    from numba.cuda.cudadrv.driver import driver

    try:
        return driver.cuMemGetInfo()
    except TypeError:  # of the older binding: out parameters
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        driver.cuMemGetInfo(ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value


def install(options=None, **others):
    """Makes weir Numba's memory manager: before Numba's first context."""
    configure(options, **others)
    cuda.set_memory_manager(MemoryManager)


_numba_memory_manager = MemoryManager
