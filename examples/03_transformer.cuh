// SPDX-License-Identifier: Apache-2.0
//
// The model of 03_inference_pipeline: transformer blocks in half precision, matrix products by cuBLAS, the rest by the
// kernels below. It allocates every intermediate from whoever it is given, and frees it as soon as it is used up, on
// the stream that it computes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cublas_v2.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <vector>

#include "03_allocators.hpp"

namespace pipeline {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}
inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "%s: %s\n", what, cublasGetStatusString(status));
  std::exit(1);
}

inline constexpr int width = 1024, heads = 16, head_width = width / heads, hidden_width = 4 * width, classes = 8192;
inline constexpr int layers = 6;

// --- kernels ------------------------------------------------------------------------------------------------------

inline __device__ std::uint32_t mixed(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ (x >> 16);
}

// Between -scale and scale, by place and seed.
__global__ void fill_random(__half* out, std::size_t count, std::uint32_t seed, float scale) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    out[i] =
        __float2half(scale * (2.0f * (mixed(static_cast<std::uint32_t>(i) ^ mixed(seed)) * 2.3283064e-10f) - 1.0f));
}

// The sum over a block of 256 threads, the same in each; always added in the same order.
inline __device__ float sum_of_block(float value) {
  __shared__ float partial[256];
  __syncthreads();
  partial[threadIdx.x] = value;
  for (unsigned half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
  }
  __syncthreads();
  return partial[0];
}

// A block a row.
__global__ void normalize(const __half* in, __half* out) {
  const __half* row = in + std::size_t{blockIdx.x} * width;
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += 256) sum += __half2float(row[i]);
  const float mean = sum_of_block(sum) / width;
  float squares = 0;
  for (int i = threadIdx.x; i < width; i += 256) {
    const float d = __half2float(row[i]) - mean;
    squares += d * d;
  }
  const float scale = rsqrtf(sum_of_block(squares) / width + 1e-5f);
  for (int i = threadIdx.x; i < width; i += 256)
    out[std::size_t{blockIdx.x} * width + i] = __float2half((__half2float(row[i]) - mean) * scale);
}

// A block a row of scores, of which those up to the row's own place count.
__global__ void causal_softmax(__half* scores, int length) {
  __half* row = scores + (std::size_t{blockIdx.y} * length + blockIdx.x) * length;
  const int seen = static_cast<int>(blockIdx.x) + 1;
  float sum = 0;
  for (int i = threadIdx.x; i < seen; i += 256) sum += expf(fminf(__half2float(row[i]), 30.0f));
  const float scale = 1.0f / sum_of_block(sum);
  for (int i = threadIdx.x; i < length; i += 256)
    row[i] = __float2half(i < seen ? expf(fminf(__half2float(row[i]), 30.0f)) * scale : 0.0f);
}

__global__ void gelu(__half* values, std::size_t count) {
  const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float x = __half2float(values[i]);
  values[i] = __float2half(0.5f * x * (1.0f + tanhf(0.7978846f * (x + 0.044715f * x * x * x))));
}

__global__ void add(__half* to, const __half* what, std::size_t count) {
  const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) to[i] = __hadd(to[i], what[i]);
}

// The mean of all rows, a thread a column.
__global__ void mean_rows(const __half* in, int length, __half* out) {
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float sum = 0;
  for (int row = 0; row < length; ++row) sum += __half2float(in[std::size_t(row) * width + column]);
  out[column] = __float2half(sum / static_cast<float>(length));
}

// A number that any changed bit changes: words times their places, so it does not matter in which order they are added.
__global__ void digest(const std::uint32_t* words, std::size_t count, unsigned long long* out) {
  unsigned long long sum = 0;
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    sum += (2 * i + 1) * mixed(words[i]);
  atomicAdd(out, sum);
}

inline unsigned blocks_for(std::size_t count) { return static_cast<unsigned>((count + 255) / 256); }

// --- the model ----------------------------------------------------------------------------------------------------

struct layer_weights {
  __half *qkv, *projection, *up, *down;
};

// One for all: it only reads.
class model {
 public:
  model() {
    for (std::uint32_t i = 0; i < layers; ++i)
      all_.push_back({make(width, 3 * width, 4 * i), make(width, width, 4 * i + 1),
                      make(width, hidden_width, 4 * i + 2), make(hidden_width, width, 4 * i + 3)});
    head_ = make(width, classes, 1000);
    check(cudaDeviceSynchronize(), "weights");
  }
  ~model() {
    for (const __half* p : owned_) (void)cudaFree(const_cast<__half*>(p));
  }
  model(const model&) = delete;
  model& operator=(const model&) = delete;

  const layer_weights& layer(int i) const { return all_[static_cast<std::size_t>(i)]; }
  const __half* head() const { return head_; }

 private:
  __half* make(int rows, int columns, std::uint32_t seed) {
    const std::size_t count = std::size_t(rows) * columns;
    __half* out = nullptr;
    check(cudaMalloc(&out, count * sizeof(__half)), "weights");
    owned_.push_back(out);
    fill_random<<<1024, 256>>>(out, count, seed, sqrtf(3.0f / static_cast<float>(rows)));
    return out;
  }

  std::vector<__half*> owned_;
  std::vector<layer_weights> all_;
  __half* head_ = nullptr;
};

// A stream, and a cuBLAS of its own with a workspace of its own: with shared ones results may differ from run to run.
struct lane {
  std::size_t index = 0;
  cudaStream_t stream = nullptr;
  cublasHandle_t blas = nullptr;
};

// Row-major out[m, n] = scale · a[m, k] · b, batch times, with the distances between matrices; b is [k, n], or [n, k].
struct product {
  int m, n, k;
  const __half *a, *b;
  __half* out;
  int a_row, b_row, out_row;
  bool b_is_transposed = false;
  float scale = 1;
  int count = 1;
  long long a_next = 0, b_next = 0, out_next = 0;
};

inline void multiply(const lane& on, const product& p) {
  const float zero = 0;
  check(cublasGemmStridedBatchedEx(on.blas, p.b_is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, p.n, p.m, p.k,
                                   &p.scale, p.b, CUDA_R_16F, p.b_row, p.b_next, p.a, CUDA_R_16F, p.a_row, p.a_next,
                                   &zero, p.out, CUDA_R_16F, p.out_row, p.out_next, p.count, CUBLAS_COMPUTE_32F,
                                   CUBLAS_GEMM_DEFAULT),
        "cublasGemmStridedBatchedEx");
}

// An intermediate, freed on the stream of its lane when it goes.
class values {
 public:
  values(allocator& from, const lane& on, std::size_t count)
      : from_(from),
        on_(on.index),
        bytes_(count * sizeof(__half)),
        data_(static_cast<__half*>(from.get(bytes_, on.index))) {}
  ~values() {
    if (data_) from_.put(data_, bytes_, on_);
  }
  values(const values&) = delete;
  values& operator=(const values&) = delete;

  __half* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  // Who takes it puts it back.
  __half* release() {
    __half* data = data_;
    data_ = nullptr;
    return data;
  }

 private:
  allocator& from_;
  std::size_t on_;
  std::size_t bytes_;
  __half* data_;
};

// x[length, width] += attention(x). Answers the keys and values of the layer, which somebody may want to keep.
inline void attend(allocator& from, const lane& on, const layer_weights& w, __half* x, int length, values& qkv) {
  const auto rows = static_cast<std::size_t>(length);
  {
    const values normal(from, on, rows * width);
    normalize<<<length, 256, 0, on.stream>>>(x, normal.data());
    multiply(on, {length, 3 * width, width, normal.data(), w.qkv, qkv.data(), width, 3 * width, 3 * width});
  }
  const values mixed(from, on, rows * width);
  {
    const values scores(from, on, heads * rows * rows);
    multiply(on, {length, length, head_width, qkv.data(), qkv.data() + width, scores.data(), 3 * width, 3 * width,
                  length, true, 0.125f, heads, head_width, head_width, static_cast<long long>(rows * rows)});
    causal_softmax<<<dim3(static_cast<unsigned>(length), heads), 256, 0, on.stream>>>(scores.data(), length);
    multiply(on, {length, head_width, length, scores.data(), qkv.data() + 2 * width, mixed.data(), length, 3 * width,
                  width, false, 1, heads, static_cast<long long>(rows * rows), head_width, head_width});
  }
  const values out(from, on, rows * width);
  multiply(on, {length, width, width, mixed.data(), w.projection, out.data(), width, width, width});
  add<<<blocks_for(rows * width), 256, 0, on.stream>>>(x, out.data(), rows * width);
}

// x[length, width] += feed-forward(x).
inline void feed_forward(allocator& from, const lane& on, const layer_weights& w, __half* x, int length) {
  const auto rows = static_cast<std::size_t>(length);
  const values up(from, on, rows * hidden_width);
  {
    const values normal(from, on, rows * width);
    normalize<<<length, 256, 0, on.stream>>>(x, normal.data());
    multiply(on, {length, hidden_width, width, normal.data(), w.up, up.data(), width, hidden_width, hidden_width});
  }
  gelu<<<blocks_for(rows * hidden_width), 256, 0, on.stream>>>(up.data(), rows * hidden_width);
  const values down(from, on, rows * width);
  multiply(on, {length, width, hidden_width, up.data(), w.down, down.data(), hidden_width, width, width});
  add<<<blocks_for(rows * width), 256, 0, on.stream>>>(x, down.data(), rows * width);
}

}  // namespace pipeline
