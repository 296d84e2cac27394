// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cub/device/device_reduce.cuh>
#include <thrust/execution_policy.h>
#include <thrust/reduce.h>
#include <thrust/sort.h>
#include <thrust/tabulate.h>

#include "algorithms.hpp"
#include "weir/adapters/mr.hpp"
#if CCCL_VERSION >= 3001000
#include <cuda/execution>
#endif

namespace weir::test {
namespace {

using word = std::uint32_t;
using sum = unsigned long long;

// Odd, so a permutation of all words: the sum and the order of count of them are known.
struct scatter {
  __host__ __device__ word operator()(std::size_t i) const { return static_cast<word>(i) * 2654435761U; }
};

struct is_not_before {
  const word* words;
  __host__ __device__ sum operator()(std::size_t i) const { return i > 0 && words[i - 1] > words[i] ? 1 : 0; }
};

sum expected_sum(std::size_t count) {
  sum all = 0;
  for (std::size_t i = 0; i < count; ++i) all += scatter{}(i);
  return all;
}

// Device memory of the resource for the length of a block.
template <class T>
class range {
 public:
  range(const mr::resource& memory, cudaStream_t stream, std::size_t count)
      : from_(memory, stream), count_(count), data_(from_.allocate(count)) {}
  ~range() { from_.deallocate(data_, count_); }
  range(const range&) = delete;
  range& operator=(const range&) = delete;
  T* data() const { return data_; }

 private:
  mr::stream_allocator<T> from_;
  std::size_t count_;
  T* data_;
};

template <class T>
T fetched(const T* from, cudaStream_t stream) {
  T value{};
  (void)cudaMemcpyAsync(&value, from, sizeof value, cudaMemcpyDeviceToHost, stream);
  (void)cudaStreamSynchronize(stream);
  return value;
}

// Fills words with known values, has `reduce` sum them into its third argument, and compares.
template <class Reduce>
bool sums(mr::resource& memory, cudaStream_t stream, std::size_t count, Reduce reduce) {
  const range<word> words(memory, stream, count);
  const range<sum> total(memory, stream, 1);
  const mr::stream_allocator<char> temporary(memory, stream);
  thrust::tabulate(thrust::cuda::par_nosync(temporary).on(stream), words.data(), words.data() + count, scatter{});
  if (reduce(words.data(), total.data()) != cudaSuccess) return false;
  return fetched(total.data(), stream) == expected_sum(count);
}

}  // namespace

int cccl_version() { return CCCL_VERSION; }

bool thrust_sorts(const std::shared_ptr<pool>& pool, cudaStream_t stream, std::size_t count) {
  const mr::resource memory(pool);
  const mr::stream_allocator<char> temporary(memory, stream);
  const range<word> words(memory, stream, count);
  word* const begin = words.data();
  const auto on = thrust::cuda::par_nosync(temporary).on(stream);
  thrust::tabulate(on, begin, begin + count, scatter{});
  thrust::sort(on, begin, begin + count);
  const sum all = thrust::reduce(on, begin, begin + count, sum{0});
  const range<sum> wrong(memory, stream, count);
  thrust::tabulate(on, wrong.data(), wrong.data() + count, is_not_before{begin});
  const sum out_of_order = thrust::reduce(on, wrong.data(), wrong.data() + count, sum{0});
  (void)cudaStreamSynchronize(stream);
  return all == expected_sum(count) && out_of_order == 0;
}

bool cub_sums(const std::shared_ptr<pool>& pool, cudaStream_t stream, std::size_t count) {
  mr::resource memory(pool);
  return sums(memory, stream, count, [&](const word* in, sum* out) {
    std::size_t bytes = 0;
    const cudaError_t asked = cub::DeviceReduce::Sum(nullptr, bytes, in, out, count, stream);
    if (asked != cudaSuccess) return asked;
    void* temporary = memory.allocate(stream, bytes);
    const cudaError_t done = cub::DeviceReduce::Sum(temporary, bytes, in, out, count, stream);
    memory.deallocate(stream, temporary, bytes);
    return done;
  });
}

bool cub_sums_by_itself(const std::shared_ptr<pool>& pool, cudaStream_t stream, std::size_t count) {
#if CCCL_VERSION >= 3001000
  mr::resource memory(pool);
  return sums(memory, stream, count, [&](const word* in, sum* out) {
    const auto environment = cuda::std::execution::env{cuda::stream_ref(stream), memory};
    return cub::DeviceReduce::Sum(in, out, count, environment);
  });
#else
  return cub_sums(pool, stream, count);
#endif
}

}  // namespace weir::test
