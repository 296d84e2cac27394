# SPDX-License-Identifier: Apache-2.0
"""Nanoseconds of an allocation and its free seen by torch: in C++ (torch_pair.so) and as torch.empty.

torch_pair.py --allocator default|expandable|async|weir --library torch_pair.so [--json FILE]
"""

import argparse
import ctypes
import json
import os
import time

import torch_allocators

parser = argparse.ArgumentParser()
parser.add_argument("--allocator", default="default")
parser.add_argument("--library", required=True)
parser.add_argument("--json")
arguments = parser.parse_args()
torch_allocators.choose(arguments.allocator)

import torch  # noqa: E402

torch_allocators.install(arguments.allocator)
torch.empty(1, device="cuda")

library = ctypes.CDLL(os.path.abspath(arguments.library))
library.torch_pair_ns.restype = ctypes.c_double
library.torch_pair_ns.argtypes = [ctypes.c_size_t, ctypes.c_long, ctypes.c_long]

SIZES = {"512 B": 512, "64 KiB": 1 << 16, "1 MiB": 1 << 20, "20 MiB": 20 << 20, "256 MiB": 256 << 20}


def best(measure, rounds=5):
    return min(measure() for _ in range(rounds))


def empty_ns(size, count=20000):
    begin = time.perf_counter()
    for _ in range(count):
        torch.empty(size, dtype=torch.uint8, device="cuda")
    return (time.perf_counter() - begin) / count * 1e9


figures = {
    "allocator": arguments.allocator,
    "pair_ns": {},
    "deep_pair_ns": {},
    "side_stream_pair_ns": {},
    "empty_ns": {},
}
for name, size in SIZES.items():
    figures["pair_ns"][name] = best(lambda: library.torch_pair_ns(size, 100_000, 1))
    figures["empty_ns"][name] = best(lambda: empty_ns(size))
    with torch.cuda.stream(torch.cuda.Stream()):
        figures["side_stream_pair_ns"][name] = best(lambda: library.torch_pair_ns(size, 100_000, 1))
    if size <= 20 << 20:
        figures["deep_pair_ns"][name] = best(lambda: library.torch_pair_ns(size, 50_000, 64))
if arguments.json:
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(figures, file)
print(json.dumps(figures))
