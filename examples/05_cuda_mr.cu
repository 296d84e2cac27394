// SPDX-License-Identifier: Apache-2.0
//
// A pool as a memory resource of CUDA's C++ library. A small program sorts and sums with Thrust and CUB, whose
// temporary memory comes from cudaMalloc when nobody says otherwise; then with weir::mr::resource in three places: as
// Thrust's allocator, as CUB's temporary buffer, and passed to a function that takes any resource. The results must be
// the same.
//
//     05_cuda_mr [--json FILE]
//
// With RMM it would be the same object: rmm::device_uvector<float> x(n, stream, memory).
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cub/device/device_reduce.cuh>
#include <memory>
#include <thrust/execution_policy.h>
#include <thrust/sort.h>
#include <thrust/tabulate.h>
#include <vector>

#include "weir/adapters/mr.hpp"

namespace {

using word = std::uint32_t;
using sum = unsigned long long;

constexpr std::size_t batches = 300;

void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
  std::exit(1);
}

struct scatter {
  word seed;
  __host__ __device__ word operator()(std::size_t i) const { return (static_cast<word>(i) + seed) * 2654435761U; }
};

std::size_t count_of(std::size_t batch) { return 20'000 + (batch * 7919) % 400'000; }

// What the two programs differ in: the memory of a batch, Thrust's policy, CUB's buffer.
struct plain {
  static constexpr const char* name = "cudaMalloc";
  cudaStream_t stream;

  auto policy() const { return thrust::cuda::par_nosync.on(stream); }
  void* get(std::size_t bytes) const {
    void* block = nullptr;
    check(cudaMalloc(&block, bytes));
    return block;
  }
  void put(void* block, std::size_t) const { check(cudaFree(block)); }
};

struct pooled {
  static constexpr const char* name = "weir";
  weir::mr::resource memory;
  cudaStream_t stream;

  auto policy() const { return thrust::cuda::par_nosync(weir::mr::stream_allocator<char>(memory, stream)).on(stream); }
  void* get(std::size_t bytes) { return memory.allocate(stream, bytes); }
  void put(void* block, std::size_t bytes) { memory.deallocate(stream, block, bytes); }
};

// Sorts a batch, and answers the sum of its upper half.
template <class Memory>
sum run_batch(Memory& with, std::size_t batch) {
  const std::size_t count = count_of(batch);
  auto* const words = static_cast<word*>(with.get(count * sizeof(word)));
  auto* const out = static_cast<sum*>(with.get(sizeof(sum)));
  thrust::tabulate(with.policy(), words, words + count, scatter{static_cast<word>(batch)});
  thrust::sort(with.policy(), words, words + count);
  std::size_t bytes = 0;
  const auto reduce = [&](void* temporary) {
    return cub::DeviceReduce::Sum(temporary, bytes, words + count / 2, out, count - count / 2, with.stream);
  };
  check(reduce(nullptr));
  void* const temporary = with.get(bytes);
  check(reduce(temporary));
  sum result = 0;
  check(cudaMemcpyAsync(&result, out, sizeof result, cudaMemcpyDeviceToHost, with.stream));
  check(cudaStreamSynchronize(with.stream));
  with.put(temporary, bytes);
  with.put(out, sizeof(sum));
  with.put(words, count * sizeof(word));
  return result;
}

struct figures {
  const char* name;
  std::vector<sum> results{};
  double us_per_batch = 0;
};

template <class Memory>
figures run(Memory with) {
  figures f{.name = Memory::name};
  for (std::size_t i = 0; i < batches / 10; ++i) (void)run_batch(with, i);
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < batches; ++i) f.results.push_back(run_batch(with, i));
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
  f.us_per_batch = took.count() / batches;
  return f;
}

// Library code that knows neither weir nor which CCCL it is compiled with.
bool fits(weir::mr::device_resource_ref memory, cudaStream_t stream, std::size_t bytes) {
  try {
#if CCCL_VERSION >= 3001000
    memory.deallocate(stream, memory.allocate(stream, bytes, 256), bytes, 256);
#else
    memory.deallocate_async(memory.allocate_async(bytes, 256, stream), bytes, 256, stream);
#endif
    return true;
  } catch (const std::bad_alloc& e) {  // weir::out_of_memory: who has how much, and what would have been there
    std::printf("as it should: %s\n", e.what());
    return false;
  }
}

bool write_json(const char* path, const figures& a, const figures& b) {
  std::FILE* out = std::fopen(path, "w");
  if (!out) return false;
  std::fprintf(out, "{\"batches\": %zu, \"us_per_batch\": {\"%s\": %.2f, \"%s\": %.2f}, \"same\": %s}\n", batches,
               a.name, a.us_per_batch, b.name, b.us_per_batch, a.results == b.results ? "true" : "false");
  return std::fclose(out) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool json = argc == 3 && std::strcmp(argv[1], "--json") == 0;
  if (argc != 1 && !json) {
    std::fprintf(stderr, "usage: 05_cuda_mr [--json FILE]\n");
    return 2;
  }
  if (const auto gpus = weir::cuda_device_count(); !gpus || *gpus == 0) {
    std::puts("skipped: no CUDA device");
    return 4;
  }
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const auto pool = weir::adapters::make_shared_pool(0, {.bytes_max = std::size_t{1} << 30});
  weir::mr::resource memory(pool);

  const figures before = run(plain{stream});
  const figures after = run(pooled{memory, stream});
  const bool same = before.results == after.results;
  std::printf("%zu batches sorted and summed, CCCL %d.%d\n", batches, CCCL_MAJOR_VERSION, CCCL_MINOR_VERSION);
  for (const figures& f : {before, after}) std::printf("%-12s %8.1f us a batch\n", f.name, f.us_per_batch);
  std::printf("results %s\n", same ? "are the same" : "DIFFER");

  const bool large_is_refused = fits(memory, stream, 1 << 20) && !fits(memory, stream, std::size_t{2} << 30);
  check(cudaStreamSynchronize(stream));
  const weir::statistics now = pool->statistics();
  std::printf("%llu allocations, %.1f MiB reserved at most, %llu live\n",
              static_cast<unsigned long long>(now.allocations), static_cast<double>(now.reserved_peak) / (1 << 20),
              static_cast<unsigned long long>(now.live_count));
  (void)pool->retire(stream).has_value();
  check(cudaStreamDestroy(stream));
  if (json && !write_json(argv[2], before, after)) return 1;
  return same && large_is_refused && now.live_count == 0 ? 0 : 1;
}
