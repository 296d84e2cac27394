# SPDX-License-Identifier: Apache-2.0
"""Torch's allocators by name. Chosen before torch is imported, since some are by the environment."""

import os

ALLOCATORS = ("default", "expandable", "async", "weir")
_CONF = {"expandable": "expandable_segments:True", "async": "backend:cudaMallocAsync"}


def choose(name):
    for variable in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        os.environ.pop(variable, None)
    if name in _CONF:
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = _CONF[name]


def install(name, **options):
    """After torch is imported, before its first tensor on a GPU."""
    if name == "weir":
        import weir.torch

        weir.torch.install(**options)
