# SPDX-License-Identifier: Apache-2.0
"""The tables of what the torch programs wrote: torch_tables.py FOLDER. Exit 1 where outputs differ or a figure is
missing; what is above its bound is marked, and the bounds are said."""

import glob
import json
import os
import sys

from torch_allocators import ALLOCATORS

BOUND = 1.02
folder = sys.argv[1]
wrong = []


def read(pattern):
    found = []
    for path in sorted(glob.glob(os.path.join(folder, pattern))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text:
            found.append(json.loads(text))
    return found


def mark(ratio):
    return f"{ratio:6.3f}{' !' if ratio > BOUND else '  '}"


def programs():
    by_name = {}
    for figures in read("program_*.json"):
        by_name.setdefault(figures["program"], {})[figures["allocator"]] = figures
    if not by_name:
        return
    print(
        f"{'program':32} {'allocator':11} {'outputs':>9} {'peak MiB':>9} {'of lowest':>9} {'step ms':>9} "
        f"{'of fastest':>9} {'p50 ms':>8} {'of live':>8}"
    )
    for name, runs in by_name.items():
        torchs = [runs[a] for a in ALLOCATORS if a != "weir" and a in runs]
        if "default" not in runs or not runs["default"]["runs_agree"]:
            wrong.append(f"{name}: torch's own allocator does not agree with itself: nothing can be said")
            continue
        lowest = min(r["reserved_peak"] for r in torchs)
        fastest = min(r["step_ms"] for r in torchs)
        for allocator in [*ALLOCATORS, *(each for each in runs if each not in ALLOCATORS)]:
            if allocator not in runs:
                wrong.append(f"{name}: no figures of {allocator}")
                continue
            r = runs[allocator]
            same = r["runs_agree"] and r["digest"] == runs["default"]["digest"]
            if allocator == "weir" and not same:
                wrong.append(f"{name}: outputs under weir differ")
            print(
                f"{name:32} {allocator:11} {'same' if same else 'DIFFERENT':>9} {r['reserved_peak'] / 2**20:9.0f} "
                f"{mark(r['reserved_peak'] / lowest):>9} {r['step_ms']:9.3f} {mark(r['step_ms'] / fastest):>9} "
                f"{r['step_p50_ms']:8.3f} {r['reserved_peak'] / r['allocated_peak']:8.3f}"
            )
        w = runs.get("weir", {}).get("weir")
        if w:
            print(
                f"{'':44} weir: {w['allocations']} allocations, {w['cached_rate']:.4f} cached, "
                f"{w['hit_rate']:.4f} hits, "
                f"{w['native_allocate']} native, {w['waits_inserted']} waits, {w['pressure_events']} under pressure"
            )
    print(f"! is above {BOUND}, the bound of weir's peak and step beside the best of torch's three settings")


def pairs():
    runs = {r["allocator"]: r for r in read("pair_*.json")}
    for key, title in (
        ("pair_ns", "ns of an allocation and its free, through torch's allocator interface"),
        ("side_stream_pair_ns", "the same on a side stream"),
        ("deep_pair_ns", "the same, 64 live at a time"),
        ("empty_ns", "ns of torch.empty and its end"),
    ):
        if not runs:
            return
        print(f"\n{title}")
        sizes = list(next(iter(runs.values()))[key])
        print(f"{'':12}" + "".join(f"{size:>10}" for size in sizes))
        for allocator in ALLOCATORS:
            if allocator in runs:
                print(f"{allocator:12}" + "".join(f"{runs[allocator][key][size]:10.0f}" for size in sizes))


programs()
pairs()
for text in wrong:
    print(f"FOUND: {text}")
sys.exit(1 if wrong else 0)
