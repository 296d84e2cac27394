# SPDX-License-Identifier: Apache-2.0
"""weir as PyTorch's allocator.

    import weir.torch
    weir.torch.install()              # before the first tensor on a GPU

``record_stream``, ``empty_cache`` and ``set_per_process_memory_fraction`` do what they do with torch's own. What torch
refuses for an allocator of this kind (``memory_stats``, ``memory_snapshot``) is ``weir.statistics()`` and
``weir.snapshot()``. CUDA graphs, and ``torch.OutOfMemoryError`` instead of a RuntimeError, need libweir_torch_hooks.so,
which is built where torch's headers are found: has_hooks() tells.
"""

import ctypes
import os

import torch

from . import _library, configure

_installed = None
_hooks = None


def install(options=None, **others):
    """Makes weir torch's allocator on every GPU, for the life of the process. Again with the same options: nothing."""
    global _installed
    if _installed is not None:
        configure(options, **others)
        return
    if torch.cuda.is_initialized():
        raise RuntimeError(
            "weir.torch.install() comes too late: torch has begun to use CUDA with its own allocator and cannot change "
            "it any more. Call it before the first tensor on a GPU, before torch.cuda.init(), and before a library "
            "that does either"
        )
    if torch.cuda.get_allocator_backend() == "pluggable":
        raise RuntimeError("weir.torch.install(): another allocator was installed with change_current_allocator()")
    configure(options, **others)
    pluggable = torch.cuda.memory.CUDAPluggableAllocator(str(_library.path()), "weir_torch_malloc", "weir_torch_free")
    allocator = pluggable.allocator()
    for setter, function in (
        ("set_init_fn", "weir_torch_init"),
        ("set_reset_fn", "weir_torch_empty_cache"),
        ("set_memory_fraction_fn", "weir_torch_set_memory_fraction"),
        ("set_base_alloc_fn", "weir_torch_base_allocation"),
        ("set_record_stream_fn", "weir_torch_record_stream"),
    ):
        getattr(allocator, setter)(_library.address_of(function))
    _use_hooks(allocator)
    torch.cuda.memory.change_current_allocator(pluggable)
    _installed = pluggable


def is_installed():
    return _installed is not None


def has_hooks():
    """Whether what needs torch's headers was found: CUDA graphs, and torch.OutOfMemoryError."""
    return _hooks is not None


def _use_hooks(allocator):
    """Hooks made for another torch are left alone: they pass its C++ types."""
    global _hooks
    file = os.environ.get("WEIR_TORCH_HOOKS") or _library.path().with_name("libweir_torch_hooks.so")
    if not os.path.exists(file):
        return
    hooks = ctypes.CDLL(str(file))
    for name in ("begin", "end", "release"):
        getattr(hooks, f"weir_torch_hook_{name}").restype = ctypes.c_void_p
    hooks.weir_torch_hooks_version.restype = ctypes.c_char_p
    made_for = hooks.weir_torch_hooks_version().decode()
    if torch.__version__.split(".")[:2] != made_for.split("."):
        return
    hooks.weir_torch_use_exceptions()
    allocator.set_begin_allocate_to_pool(hooks.weir_torch_hook_begin())
    allocator.set_end_allocate_to_pool_fn(hooks.weir_torch_hook_end())
    allocator.set_release_pool(hooks.weir_torch_hook_release())
    _hooks = hooks
