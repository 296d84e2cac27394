# SPDX-License-Identifier: Apache-2.0
"""Batched generation of a random-weight transformer in PyTorch, with torch's allocator and with weir: the same tokens,
the memory each held and the time a token took.

    PYTHONPATH=build/release/python examples/07_pytorch_llm.py              # both, and the table
    PYTHONPATH=build/release/python examples/07_pytorch_llm.py --with weir

Leaves with 4 where there is no torch or no GPU.
"""

import argparse
import hashlib
import json
import math
import subprocess
import sys
import time

LAYERS, WIDTH, HEADS, VOCABULARY = 12, 1024, 16, 8192


def have_gpu():
    try:
        import torch

        return torch.cuda.device_count() > 0
    except ImportError:
        return False


def make_weights(torch):
    def matrix(rows, columns):
        return (torch.randn(rows, columns) / math.sqrt(rows)).to("cuda", torch.bfloat16)

    torch.manual_seed(1)
    layers = [
        {"qkv": matrix(WIDTH, 3 * WIDTH), "out": matrix(WIDTH, WIDTH), "up": matrix(WIDTH, 4 * WIDTH)}
        | {"down": matrix(4 * WIDTH, WIDTH)}
        for _ in range(LAYERS)
    ]
    return {
        "embedding": matrix(VOCABULARY, WIDTH) * math.sqrt(VOCABULARY),
        "head": matrix(WIDTH, VOCABULARY),
        "layers": layers,
    }


def forward(torch, weights, ids, cache):
    """Logits of the last token. The caches grow by concatenation: every step wants a little more than it frees."""
    x = weights["embedding"][ids]
    batch, length, _ = x.shape
    norm = lambda t: torch.nn.functional.layer_norm(t, (WIDTH,))
    for layer, past in zip(weights["layers"], cache):
        q, k, v = (
            t.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            for t in (norm(x) @ layer["qkv"]).split(WIDTH, 2)
        )
        past["k"] = torch.cat((past["k"], k), 2) if past else k
        past["v"] = torch.cat((past["v"], v), 2) if "v" in past else v
        y = torch.nn.functional.scaled_dot_product_attention(q, past["k"], past["v"], is_causal=length > 1)
        x = x + y.transpose(1, 2).reshape(batch, length, WIDTH) @ layer["out"]
        x = x + torch.nn.functional.gelu(norm(x) @ layer["up"]) @ layer["down"]
    return norm(x[:, -1]) @ weights["head"]


def generate(torch, weights, batch, prompt, answer):
    cache = [{} for _ in range(LAYERS)]
    ids = torch.randint(0, VOCABULARY, (batch, prompt), generator=torch.Generator().manual_seed(batch)).cuda()
    tokens = []
    for _ in range(answer):
        ids = forward(torch, weights, ids, cache).argmax(1, keepdim=True)
        tokens.append(ids)
    return torch.cat(tokens, 1)


def run(allocator):
    import torch

    if allocator == "weir":
        import weir.torch

        weir.torch.install()  # that is all
    weights = make_weights(torch)
    figures = {"allocator": allocator}
    with torch.inference_mode():
        for _ in range(2):  # the first warms up
            begin, count, sha = time.perf_counter(), 0, hashlib.sha256()
            for batch, prompt, answer in ((64, 200, 80), (24, 600, 120), (96, 64, 64), (48, 320, 100)):
                tokens = generate(torch, weights, batch, prompt, answer)
                sha.update(tokens.cpu().numpy().tobytes())
                count += answer
            figures["ms"] = (time.perf_counter() - begin) / count * 1e3
            figures["tokens"] = sha.hexdigest()[:16]
    if allocator == "weir":
        import weir

        now = weir.statistics()
        figures |= {"reserved": now["reserved_peak"], "live": now["allocated_peak"], "hits": now["hit_rate"]}
    else:
        figures |= {"reserved": torch.cuda.max_memory_reserved(), "live": torch.cuda.max_memory_allocated()}
    print(json.dumps(figures))


def compare():
    runs = {}
    for allocator in ("torch", "weir"):
        command = [sys.executable, __file__, "--with", allocator]
        runs[allocator] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{'':8}{'MiB reserved':>14}{'MiB live':>10}{'ratio':>8}{'ms a token':>12}  tokens")
    for name, r in runs.items():
        print(
            f"{name:8}{r['reserved'] / 2**20:14.0f}{r['live'] / 2**20:10.0f}{r['reserved'] / r['live']:8.3f}"
            f"{r['ms']:12.3f}  {r['tokens']}"
        )
    print(f"weir: {runs['weir']['hits']:.4f} of the allocations without a native call")
    return runs["torch"]["tokens"] == runs["weir"]["tokens"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--with", dest="allocator", choices=("torch", "weir"))
    chosen = parser.parse_args().allocator
    if not have_gpu():
        print("07_pytorch_llm: no torch, or no GPU")
        sys.exit(4)
    if chosen:
        run(chosen)
    else:
        sys.exit(0 if compare() else 1)
