// SPDX-License-Identifier: Apache-2.0
//
// The functions of torch.cuda.memory.CUDAPluggableAllocator. Torch takes a null pointer for a tensor's memory without a
// word, so what fails must throw; torch turns what it catches into Python's exceptions. A free cannot throw: it comes
// from destructors.
#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "adapters/python/host_api.hpp"
#include "adapters/python/process_pools.hpp"

namespace weir::python {

namespace {

using weir::c_edge::stream_of;

std::atomic<void (*)(int, const char*)> thrower{nullptr};

process_pools& pools() { return process_pools::the(); }

std::string in_words(std::size_t bytes) {
  const auto n = static_cast<double>(bytes);
  const auto is_at_least = [&](unsigned shift) { return bytes >> shift != 0; };
  std::array<char, 32> text{};
  if (is_at_least(30)) {
    std::snprintf(text.data(), text.size(), "%.2f GiB", n / (1 << 30));
  } else if (is_at_least(20)) {
    std::snprintf(text.data(), text.size(), "%.2f MiB", n / (1 << 20));
  } else {
    std::snprintf(text.data(), text.size(), "%zu bytes", bytes);
  }
  return text.data();
}

// Programs look for torch's own words, "CUDA out of memory. Tried to allocate".
std::string text_of(const error& why, int device) {
  switch (why.code) {
    case errc::out_of_memory:
      return "CUDA out of memory. Tried to allocate " + in_words(why.bytes) + ". weir on GPU " +
             std::to_string(device) + ": " + why.message();
    case errc::stream_capturing:
      return "weir: " + why.message() +
             " (torch.cuda.graph opens one where weir's torch hooks are built: see weir.torch.install)";
    case errc::forked:
      return "weir: this process was forked from one that used the GPU, whose memory it cannot use; start workers with "
             "torch.multiprocessing's spawn";
    default: return "weir: " + why.message();
  }
}

[[noreturn]] void raise(const error& why, int device) {
  const std::string text = text_of(why, device);
  if (const auto throw_torchs = thrower.load()) throw_torchs(why.code == errc::out_of_memory, text.c_str());
  throw std::runtime_error(text);
}

void or_raise(const result<void>& done, int device) {
  if (!done) raise(done.error(), device);
}

}  // namespace

// A free where the process or the device is at its end has nothing left to do; any other that fails is a bug, and the
// bug handler's.
void report_unless_over(const result<void>& done) noexcept {
  if (!done && is_bug(done.error().code) && done.error().code != errc::forked) report_bug(done.error());
}

}  // namespace weir::python

using weir::c_edge::stream_of;
using weir::python::or_raise;
using weir::python::pools;
using weir::python::raise;
using weir::python::report_unless_over;
using weir::python::thrower;

void weir_torch_set_thrower(void (*chosen)(int, const char*)) { thrower.store(chosen); }

void weir_torch_init(int /*device_count*/) {}  // a pool is made at its device's first use

void* weir_torch_malloc(ptrdiff_t bytes, int device, CUstream_st* stream) {
  const auto block = pools().allocate(device, static_cast<std::size_t>(bytes), stream_of(stream));
  if (!block) raise(block.error(), device);
  return *block;
}

// The stream is the allocation's, as torch remembers it; we remember which one that was then.
void weir_torch_free(void* pointer, size_t bytes, int device, CUstream_st* /*stream*/) {
  report_unless_over(pools().deallocate(pointer, bytes, device));
}

void weir_torch_record_stream(void* pointer, CUstream_st* stream) {
  or_raise(pools().record_use(pointer, stream_of(stream)), -1);
}

void weir_torch_empty_cache(void) { or_raise(pools().release_free(), -1); }

void weir_torch_set_memory_fraction(double fraction, int device) {
  or_raise(pools().set_memory_fraction(device, fraction), device);
}

void* weir_torch_base_allocation(void* /*pointer*/, size_t* /*bytes*/) {
  raise({.code = weir::errc::not_supported,
         .what = "CUDA IPC of memory from a pool; share CPU tensors, or allocate what is shared before install()"},
        -1);
}

void weir_torch_begin_capture(int device, uint64_t id_first, uint64_t id_second, CUstream_st* stream) {
  or_raise(pools().begin_capture(device, {id_first, id_second}, stream_of(stream)), device);
}

void weir_torch_end_capture(int device, uint64_t id_first, uint64_t id_second) {
  or_raise(pools().end_capture(device, {id_first, id_second}), device);
}

void weir_torch_release_graph(int device, uint64_t id_first, uint64_t id_second) {
  report_unless_over(pools().release_graph(device, {id_first, id_second}));
}
