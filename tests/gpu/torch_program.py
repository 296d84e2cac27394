# SPDX-License-Identifier: Apache-2.0
"""What the torch programs here share: the allocator by name, determinism, runs that must agree, figures as JSON.

Import it before torch: the allocator is chosen by the command line, and some are by the environment.

    torch_serving.py --allocator default|expandable|async|weir [--runs N] [--device cuda|cpu] [--json FILE]

A program gives main() two functions: build(device) makes what stays, run(state) does the work, tells done() after each
step and returns tensors. They are hashed; every run must give the same. On the CPU it only shows that a program works.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import time

import torch_allocators


def _arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--allocator", choices=torch_allocators.ALLOCATORS, default="default")
    parser.add_argument("--label", help="what the figures call the allocator")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1: less work and memory")
    parser.add_argument("--json")
    parser.add_argument("--trace", help="record the last run, with weir")
    return parser.parse_args()


arguments = _arguments()
torch_allocators.choose(arguments.allocator)
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"

import torch  # noqa: E402


def digest(tensors):
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.detach().contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return sha.hexdigest()[:16]


def scaled(count):
    return max(1, round(count * arguments.scale))


def is_cuda():
    return arguments.device.startswith("cuda")


def synchronize():
    if is_cuda():
        torch.cuda.synchronize()


class Steps:
    """Times of the steps of a run: done() after each."""

    def __init__(self):
        self.seconds = []
        self._last = time.perf_counter()

    def done(self, wait=True):
        if wait:
            synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def _memory():
    if not is_cuda():
        return {}
    if arguments.allocator == "weir":
        import weir

        now = weir.statistics()
        return {
            "reserved_peak": now["reserved_peak"] + now["direct"],
            "allocated_peak": now["allocated_peak"],
            "weir": now,
        }
    return {"reserved_peak": torch.cuda.max_memory_reserved(), "allocated_peak": torch.cuda.max_memory_allocated()}


def main(name, build, run):
    torch_allocators.install(arguments.allocator, traceable=bool(arguments.trace))
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # no program fills its memory twice
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(1)
    with torch.device(arguments.device):
        state = build(arguments.device)
    digests, times = [], []
    for index in range(arguments.runs):
        steps = Steps()
        if arguments.trace and index == arguments.runs - 1:
            import weir

            with weir.trace(arguments.trace):
                outputs = run(state, steps)
        else:
            outputs = run(state, steps)
        synchronize()
        digests.append(digest(outputs))
        del outputs
        times.append(steps.seconds)
    warm = times[1:] or times
    figures = {
        "program": name,
        "allocator": arguments.label or arguments.allocator,
        "digest": digests[0],
        "runs_agree": len(set(digests)) == 1,
        "steps": len(warm[0]),
        # The best run, since another process may have been in the way of the others; and the median step of it.
        "step_ms": min(sum(run) / len(run) for run in warm) * 1e3,
        "step_p50_ms": min(statistics.median(run) for run in warm) * 1e3,
        **_memory(),
    }
    text = json.dumps(figures)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            file.write(text)
    print(text)
    sys.exit(0 if figures["runs_agree"] else 1)
