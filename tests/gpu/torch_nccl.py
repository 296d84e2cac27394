# SPDX-License-Identifier: Apache-2.0
"""Two GPUs: all-reduce, all-gather and data-parallel training over memory of weir, with NCCL.

    torchrun --nproc-per-node 2 torch_nccl.py

Exit 4 where there are no two GPUs. Prints what each rank's pool held.
"""

import os
import sys
import time

import torch

if torch.cuda.device_count() < int(os.environ.get("WORLD_SIZE", "2")):
    print("skipped: fewer GPUs than ranks")
    sys.exit(4)

import torch.distributed as dist
import weir
import weir.torch

weir.torch.install()
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
torch.cuda.set_device(rank)
dist.init_process_group("nccl", device_id=torch.device("cuda", rank))


def check(what, holds):
    if not holds:
        print(f"rank {rank}: WRONG: {what}", flush=True)
        os._exit(1)


def collectives():
    for count in (1, 1000, 1 << 20, (1 << 26) + 3):
        for _ in range(5):
            x = torch.full((count,), float(rank + 1), device="cuda")
            dist.all_reduce(x)
            check(f"all_reduce of {count}", bool((x == world * (world + 1) / 2).all()))
            parts = [torch.empty(count, device="cuda") for _ in range(world)]
            dist.all_gather(parts, torch.full((count,), float(rank), device="cuda"))
            check(f"all_gather of {count}", all(bool((part == r).all()) for r, part in enumerate(parts)))


def in_flight():
    """Blocks dropped while a collective still works on them: torch records its stream on them."""
    works, sums = [], []
    for n in range(60):
        x = torch.full((1 << 20,), float(n * (rank + 1)), device="cuda")
        works.append(dist.all_reduce(x, async_op=True))
        works[-1].wait()
        sums.append(x.sum(dtype=torch.float64) / (1 << 20))
        del x
        torch.full((1 << 20,), -1.0, device="cuda")
    torch.cuda.synchronize()
    check("sums of collectives in flight", [s.item() for s in sums] == [n * world * (world + 1) / 2 for n in range(60)])


def training():
    torch.manual_seed(1)
    model = torch.nn.Sequential(*[torch.nn.Linear(1024, 1024) for _ in range(6)]).cuda()
    parallel = torch.nn.parallel.DistributedDataParallel(model, device_ids=[rank])
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=1e-3)
    for step in range(20):
        torch.manual_seed(100 * step + rank)
        loss = parallel(torch.randn(256, 1024, device="cuda")).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mine = torch.cat([p.detach().flatten() for p in model.parameters()])
    others = [torch.empty_like(mine) for _ in range(world)]
    dist.all_gather(others, mine)
    check("parameters equal on all ranks", all(torch.equal(mine, other) for other in others))
    check("the loss is a number", bool(torch.isfinite(loss)))


def peers():
    """A copy from one GPU to the other, in one process: where peers can be accessed, directly."""
    if rank == 0:
        a = torch.arange(1 << 22, device="cuda:0")
        b = a.to("cuda:1")
        check("a copy between devices", torch.equal(a.cpu(), b.cpu()))
        del a, b
        return weir.devices()
    return [rank]


begin = time.perf_counter()
collectives()
in_flight()
training()
devices = peers()
dist.barrier()
for device in devices:
    now = weir.statistics(device)
    print(
        f"rank {rank}, device {device}: {now['allocations']} allocations, peak {now['allocated_peak'] >> 20} MiB live, "
        f"{now['reserved_peak'] >> 20} MiB reserved, {now['waits_inserted']} waits, "
        f"{time.perf_counter() - begin:.1f} s",
        flush=True,
    )
dist.destroy_process_group()
print(f"rank {rank}: sums right", flush=True)
