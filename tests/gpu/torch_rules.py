# SPDX-License-Identifier: Apache-2.0
"""What weir promises to a torch program, and what it answers to bad input.

    torch_rules.py [--weir COMMAND] [GROUP...]

Each group has a process of its own, since an allocator is installed once. Prints a line for each fact; exit 1 where one
does not hold. COMMAND is weir's command line, for looking at a trace.
"""

import argparse
import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback

GIB = 1 << 30
MIB = 1 << 20
failed = []


def fact(text):
    """Runs what it decorates at once and says whether it held."""

    def run(check):
        try:
            skipped = check()
            print(f"  {'skipped: ' + skipped if skipped else 'ok'}: {text}", flush=True)
        except Exception:
            failed.append(text)
            print(f"  FAILED: {text}\n{traceback.format_exc()}", flush=True)

    return run


def expect(exception, action, *parts):
    try:
        action()
    except exception as error:
        text = str(error)
        for part in parts:
            assert part in text, f"no {part!r} in {text!r}"
        return error
    raise AssertionError(f"no {exception.__name__}")


def sleep_on_device(torch, milliseconds):
    torch.cuda._sleep(int(milliseconds * 1.5e6))


def group_installed(arguments):
    import torch
    import weir
    import weir.torch

    weir.torch.install(traceable=True)

    @fact("install() twice is once, and other options are refused")
    def _():
        torch.ones(1, device="cuda")
        weir.torch.install()
        expect(weir.Error, lambda: weir.torch.install("bytes_max=1GiB"), "already")

    @fact("tensors come from weir, and statistics() and snapshot() see them")
    def _():
        before = weir.statistics()["allocated"]
        x = torch.zeros(100 * MIB, dtype=torch.uint8, device="cuda")
        now = weir.statistics()
        assert now["allocated"] >= before + 100 * MIB
        assert now["reserved"] >= now["held"] >= now["allocated"] - now["direct"]
        blocks = weir.snapshot(0)[0]["blocks"]
        assert any(b["address"] == x.data_ptr() and b["state"] == "live" for b in blocks)
        del x
        assert weir.statistics()["allocated"] == before

    @fact("out of memory is torch's own exception with weir's account, and passes")
    def _():
        free, total = torch.cuda.mem_get_info()
        kind = torch.OutOfMemoryError if weir.torch.has_hooks() else RuntimeError
        keep = torch.ones(MIB, device="cuda")
        expect(
            kind,
            lambda: torch.empty(2 * total, dtype=torch.uint8, device="cuda"),
            "CUDA out of memory",
            "live",
            "device free",
        )
        held = []
        expect(
            kind,
            lambda: [held.append(torch.empty(8 * GIB, dtype=torch.uint8, device="cuda")) for _ in range(64)],
            "CUDA out of memory",
        )
        del held
        gc.collect()
        x = torch.empty(int(0.6 * free), dtype=torch.uint8, device="cuda")
        assert x.data_ptr() != 0 and keep.sum().item() == MIB
        del x

    @fact("empty_cache gives everything free back, whatever stream it was used on")
    def _():
        streams = [torch.cuda.Stream() for _ in range(3)]
        for stream in streams:
            with torch.cuda.stream(stream):
                x = torch.ones(256 * MIB, dtype=torch.uint8, device="cuda")
                sleep_on_device(torch, 20)
                del x
        assert weir.statistics()["reserved"] > 256 * MIB
        torch.cuda.empty_cache()
        now = weir.statistics()
        assert now["reserved"] <= now["allocated"] + 192 * MIB, now["reserved"]

    @fact("a memory fraction is a limit, and 1 lifts it")
    def _():
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.05)
        expect(RuntimeError, lambda: torch.empty(int(0.06 * total), dtype=torch.uint8, device="cuda"), "out of memory")
        torch.empty(int(0.02 * total), dtype=torch.uint8, device="cuda")
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.empty(int(0.06 * total), dtype=torch.uint8, device="cuda")

    @fact("record_stream keeps a block from being reused under a second stream's work")
    def _():
        side = torch.cuda.Stream()
        wrong = 0
        for size in (4000, 3 * MIB, 40 * MIB):
            for _ in range(5):
                x = torch.full((size,), 7, dtype=torch.uint8, device="cuda")
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    sleep_on_device(torch, 5)
                    copy = x.clone()
                x.record_stream(side)
                del x
                y = torch.full((size,), 9, dtype=torch.uint8, device="cuda")  # would be where x was
                torch.cuda.synchronize()
                wrong += int((copy != 7).sum().item() + (y != 9).sum().item())
        assert wrong == 0, wrong

    @fact("a stream destroyed before its tensors harms nobody")
    def _():
        cudart = ctypes.CDLL("libcudart.so.13")
        for round in range(50):
            handle = ctypes.c_void_p()
            assert cudart.cudaStreamCreateWithFlags(ctypes.byref(handle), 1) == 0
            stream = torch.cuda.ExternalStream(handle.value)
            with torch.cuda.stream(stream):
                x = torch.full((MIB,), round % 200, dtype=torch.uint8, device="cuda")
                y = torch.full((40 * MIB,), round % 200, dtype=torch.uint8, device="cuda")
            assert cudart.cudaStreamDestroy(handle) == 0
            torch.cuda.synchronize()
            assert int((x != round % 200).sum().item() + (y != round % 200).sum().item()) == 0
            del x, y

    @fact("threads on their own streams get their own memory")
    def _():
        wrong = []

        def work(seed):
            with torch.cuda.stream(torch.cuda.Stream()):
                for i in range(300):
                    xs = [torch.full((1000 * (1 + (i * 7 + j * 13) % 300),), seed, device="cuda") for j in range(8)]
                    if i % 20 == 0 and any((x != seed).any().item() for x in xs):
                        wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        torch.cuda.synchronize()
        assert not wrong, wrong

    @fact("a CUDA graph replayed 1000 times beside eager work gives the same bits each time")
    def _():
        if not weir.torch.has_hooks():
            return "no hooks"
        torch.manual_seed(1)
        model = torch.nn.Sequential(*[torch.nn.Linear(512, 512) for _ in range(4)]).cuda().eval()
        static = torch.randn(64, 512, device="cuda")

        def step():
            y = static
            for layer in model:
                y = torch.relu(layer(y)) + torch.cat((y[:, 256:], y[:, :256]), dim=1)
            return y

        with torch.inference_mode():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    step()
            torch.cuda.current_stream().wait_stream(side)
            expected = step().clone()
            graph, second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output = step()
            with torch.cuda.graph(second, pool=graph.pool()):
                other = step() * 2
            assert weir.statistics()["pinned"] > 0
            stop = threading.Event()

            def eager():
                with torch.cuda.stream(torch.cuda.Stream()):
                    while not stop.is_set():
                        xs = [torch.full((n * 1000,), 3.0, device="cuda") for n in range(1, 60)]
                        del xs

            noise = threading.Thread(target=eager)
            noise.start()
            different = torch.zeros((), dtype=torch.int64, device="cuda")
            for round in range(1000):
                graph.replay()
                different += (output != expected).sum()
                junk = torch.full((64, 512), float(round), device="cuda")
                del junk
            second.replay()
            stop.set()
            noise.join()
            torch.cuda.synchronize()
            assert different.item() == 0
            assert torch.equal(other, expected * 2)
        del graph, second, output, other
        gc.collect()
        torch.cuda.synchronize()
        assert weir.statistics()["pinned"] == 0

    @fact("after all that a capture that fails leaves torch usable")
    def _():
        if not weir.torch.has_hooks():
            return "no hooks"
        graph = torch.cuda.CUDAGraph()

        def capture():
            with torch.cuda.graph(graph):
                torch.ones(1000, device="cuda").item()  # a wait that no capture allows

        expect(Exception, capture)
        assert torch.ones(1000, device="cuda").sum().item() == 1000

    @fact("what torch refuses, it says; memory for CUDA IPC too")
    def _():
        expect(RuntimeError, torch.cuda.memory_stats)
        from torch.multiprocessing.reductions import reduce_tensor

        expect(RuntimeError, lambda: reduce_tensor(torch.ones(10, device="cuda")))

    @fact("a trace of it is valid")
    def _():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "torch.weir")
            with weir.trace(path):
                xs = [torch.ones(n * 1000, device="cuda") for n in range(1, 100)]
                side = torch.cuda.Stream()
                xs[0].record_stream(side)
                del xs
            assert os.path.getsize(path) > 200
            if not arguments.weir:
                return "no command line named"
            seen = subprocess.run([arguments.weir, "inspect", path], capture_output=True, text=True, check=True).stdout
            assert "allocate" in seen and "use " in seen, seen

    @fact("a forked child that uses the GPU is told so")
    def _():
        x = torch.ones(1000, device="cuda")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                pointer = ctypes.c_void_p()
                weir._library.check(weir._library.library().weir_host_allocate(0, 100, None, ctypes.byref(pointer)))
                os.write(write, b"no error")
            except weir.Error as error:
                os.write(write, str(error).encode())
            del x  # its free is nobody's business here
            os._exit(0)
        os.waitpid(child, 0)
        text = os.read(read, 4096).decode()
        assert "fork" in text and "spawn" in text, text
        assert x.sum().item() == 1000


def group_late(_arguments):
    import torch
    import weir.torch

    @fact("install() after torch has allocated is refused, and says when to call it")
    def _():
        torch.ones(1, device="cuda")
        expect(RuntimeError, weir.torch.install, "too late", "before the first tensor")
        assert torch.ones(10, device="cuda").sum().item() == 10

    @fact("then torch's own allocator goes on, and weir's pools are there for others")
    def _():
        import weir

        assert weir.devices() == [] and torch.cuda.memory_allocated() >= 0


def group_without_hooks(_arguments):
    os.environ["WEIR_TORCH_HOOKS"] = "/nonexistent"
    os.environ["WEIR_OPTIONS"] = "bytes_max=2GiB"
    import torch
    import weir
    import weir.torch

    weir.torch.install("bytes_max=9GiB")

    @fact("without hooks running out of memory is a RuntimeError with the same words; WEIR_OPTIONS has the last word")
    def _():
        error = expect(
            RuntimeError, lambda: torch.empty(3 * GIB, dtype=torch.uint8, device="cuda"), "CUDA out of memory"
        )
        assert not isinstance(error, torch.OutOfMemoryError) and str(2 * GIB) in str(error), error

    @fact("trace() refuses where pools were made without a recorder, and says how to have one")
    def _():
        expect(weir.Error, lambda: weir.trace("/tmp/never.weir").__enter__(), "traced")

    @fact("without hooks an allocation while a graph is captured is a clear error, and torch goes on")
    def _():
        graph = torch.cuda.CUDAGraph()

        def capture():
            with torch.cuda.graph(graph):
                torch.ones(1000, device="cuda")

        expect(RuntimeError, capture, "captured", "hooks")
        assert torch.ones(1000, device="cuda").sum().item() == 1000


class CudaItems:
    """A data set that uses the GPU in its workers."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        import torch

        return torch.ones(10, device="cuda") * index


class HostItems:
    def __len__(self):
        return 64

    def __getitem__(self, index):
        import torch

        return torch.full((100,), float(index))


def group_workers(_arguments):
    import torch
    import weir.torch

    weir.torch.install()
    torch.ones(1, device="cuda")

    @fact("a forked data loader whose workers use the GPU gets an error that says to spawn")
    def _():
        loader = torch.utils.data.DataLoader(CudaItems(), num_workers=1)
        expect(RuntimeError, lambda: list(loader), "spawn")

    @fact("a forked data loader that stays on the host works")
    def _():
        total = 0
        for batch in torch.utils.data.DataLoader(HostItems(), num_workers=2, batch_size=8, pin_memory=True):
            total += batch.cuda(non_blocking=True).sum().item()
        assert total == 100 * sum(range(64)), total


def group_traced(arguments):
    path = os.environ["WEIR_TRACE"] = os.path.join(tempfile.gettempdir(), f"weir-{os.getpid()}.weir")
    import torch
    import weir
    import weir.torch

    weir.torch.install()

    @fact("WEIR_TRACE records the process from its start to its end")
    def _():
        for n in range(1, 50):
            torch.ones(n * 1000, device="cuda")
        weir._end_trace()
        assert os.path.getsize(path) > 200
        if arguments.weir:
            subprocess.run([arguments.weir, "inspect", path], capture_output=True, check=True)
        os.remove(path)


GROUPS = {
    name.removeprefix("group_").replace("_", "-"): function
    for name, function in list(globals().items())
    if name.startswith("group_")
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weir")
    parser.add_argument("groups", nargs="*")
    arguments = parser.parse_args()
    if len(arguments.groups) == 1:
        GROUPS[arguments.groups[0]](arguments)
        sys.exit(1 if failed else 0)
    try:
        import torch

        if torch.cuda.device_count() == 0:
            raise ImportError("no GPU")
    except ImportError as why:
        print(f"skipped: {why}")
        sys.exit(4)
    bad = 0
    for name in arguments.groups or GROUPS:
        print(f"torch, {name}:", flush=True)
        begin = time.monotonic()
        command = [sys.executable, __file__, name] + (["--weir", arguments.weir] if arguments.weir else [])
        status = subprocess.run(command, check=False, timeout=120).returncode
        if status not in (0, 1):
            print(f"  FAILED: the process ended with {status}")
        bad += status != 0
        print(f"  {time.monotonic() - begin:.0f} s")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
