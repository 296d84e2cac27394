// SPDX-License-Identifier: Apache-2.0
//
// One step of a small transformer decoder with random weights, for 04_cuda_graph: a batch of sequences, each a token
// longer afterwards. Sums are in a fixed order, so two runs agree bit for bit. Where the step is, it reads from the
// device, so that one graph is every step.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>

namespace decoder {

constexpr int batch = 8, width = 512, heads = 8, head_width = width / heads, layers = 4, vocabulary = 2048;
constexpr int steps_max = 1024;
constexpr int threads = 256;

__device__ inline std::uint32_t hash(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ (x >> 16);
}
// Between -1 and 1.
__device__ inline float random_at(std::uint32_t seed, std::uint32_t i) {
  return static_cast<float>(hash(seed * 0x9e3779b9U + i)) * (2.0F / 4294967296.0F) - 1.0F;
}

__global__ void fill_random(float* out, std::uint32_t count, std::uint32_t seed, float scale) {
  for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    out[i] = scale * random_at(seed, i);
}

__global__ void begin(int* tokens, int* position) {
  if (threadIdx.x < batch) tokens[threadIdx.x] = static_cast<int>(hash(threadIdx.x) % vocabulary);
  if (threadIdx.x == 0) *position = 0;
}

__global__ void embed(const int* tokens, const int* position, float* x) {
  const auto row = blockIdx.x;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x)
    x[row * width + i] = random_at(1000U + static_cast<std::uint32_t>(tokens[row]), i) +
                         0.1F * random_at(7U, static_cast<std::uint32_t>(*position) * width + i);
}

// The sum, or the largest, of all threads' values, in a fixed order. Every thread has it.
template <class Join>
__device__ float joined(float value, Join join) {
  __shared__ float all[threads];
  __syncthreads();
  all[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) all[threadIdx.x] = join(all[threadIdx.x], all[threadIdx.x + half]);
    __syncthreads();
  }
  return all[0];
}
struct plus {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

__global__ void normalise(const float* x, float* out) {
  const float* const row = x + blockIdx.x * width;
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += threads) sum += row[i] * row[i];
  const float scale = rsqrtf(joined(sum, plus{}) / width + 1e-5F);
  for (int i = static_cast<int>(threadIdx.x); i < width; i += threads) out[blockIdx.x * width + i] = row[i] * scale;
}

enum class then { store, add, rectify };

// out[row][column] = sum of in[row][i] * weights[column][i]; a warp for each column, all rows at once.
template <then What>
__global__ void multiply(const float* in, const float* weights, float* out, int inputs, int columns) {
  const int column = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32);
  const int at = static_cast<int>(threadIdx.x % 32);
  if (column >= columns) return;
  float sums[batch] = {};
  for (int i = at; i < inputs; i += 32) {
    const float weight =
        weights[static_cast<std::size_t>(column) * static_cast<std::size_t>(inputs) + static_cast<std::size_t>(i)];
    for (int row = 0; row < batch; ++row) sums[row] += weight * in[row * inputs + i];
  }
  for (int row = 0; row < batch; ++row) {
    for (int step = 16; step > 0; step /= 2) sums[row] += __shfl_down_sync(~0U, sums[row], static_cast<unsigned>(step));
    if (at != 0) continue;
    float& to = out[row * columns + column];
    to = What == then::add ? to + sums[row] : What == then::rectify ? fmaxf(sums[row], 0) : sums[row];
  }
}

// A block for each row and head: keeps this step's key and value, then looks at all there are.
__global__ void attend(const float* qkv, float* keys, float* values, const int* position, float* scores, float* out) {
  const int row = static_cast<int>(blockIdx.x) / heads, head = static_cast<int>(blockIdx.x) % heads;
  const int at = static_cast<int>(threadIdx.x), now = *position;
  const float* const q = qkv + row * 3 * width + head * head_width;
  float* const k = keys + static_cast<std::size_t>(blockIdx.x) * steps_max * head_width;
  float* const v = values + static_cast<std::size_t>(blockIdx.x) * steps_max * head_width;
  float* const score = scores + static_cast<std::size_t>(blockIdx.x) * steps_max;
  if (at < head_width) {
    k[now * head_width + at] = q[width + at];
    v[now * head_width + at] = q[2 * width + at];
  }
  __syncthreads();
  float most = -INFINITY;
  for (int j = at; j <= now; j += threads) {
    float dot = 0;
    for (int i = 0; i < head_width; ++i) dot += q[i] * k[j * head_width + i];
    score[j] = dot * 0.125F;
    most = fmaxf(most, score[j]);
  }
  most = joined(most, larger{});
  float sum = 0;
  for (int j = at; j <= now; j += threads) sum += score[j] = expf(score[j] - most);
  sum = joined(sum, plus{});
  __shared__ float parts[threads];
  float part = 0;
  for (int j = at / head_width; j <= now; j += threads / head_width)
    part += score[j] * v[j * head_width + at % head_width];
  parts[at] = part;
  __syncthreads();
  if (at >= head_width) return;
  for (int other = at + head_width; other < threads; other += head_width) part += parts[other];
  out[row * width + head * head_width + at] = part / sum;
}

// The likeliest token of each row, the first of equals. One block for all, so that it can end the step.
__global__ void pick(const float* logits, int* tokens, int* history, int* position) {
  const int row = static_cast<int>(threadIdx.x / 32), at = static_cast<int>(threadIdx.x % 32);
  float most = -INFINITY;
  int best = vocabulary;
  for (int i = at; i < vocabulary; i += 32) {
    const float logit = logits[row * vocabulary + i];
    if (logit > most) most = logit, best = i;
  }
  for (unsigned step = 16; step > 0; step /= 2) {
    const float other = __shfl_down_sync(~0U, most, step);
    const int other_best = __shfl_down_sync(~0U, best, step);
    if (other > most || (other == most && other_best < best)) most = other, best = other_best;
  }
  const int now = *position;
  if (at == 0) tokens[row] = history[now * batch + row] = best;
  __syncthreads();
  if (threadIdx.x == 0) *position = now + 1;
}
static_assert(batch * 32 == threads);

// The program's own, for its whole life: weights, keys and values, and what has been decoded.
struct state {
  float *weights, *keys, *values;
  int *tokens, *history, *position;

  static constexpr std::size_t square = std::size_t{width} * width;
  static constexpr std::size_t weight_count = 12 * square * layers + std::size_t{vocabulary} * width;
  static constexpr std::size_t cache_layer = std::size_t{batch} * steps_max * width;

  const float* layer(int i) const { return weights + 12 * square * static_cast<std::size_t>(i); }
  const float* head() const { return layer(layers); }
};

// One step. Memory: get(bytes), put(pointer, bytes), both in the stream's order.
template <class Memory>
void step(Memory& memory, const state& s, cudaStream_t on) {
  const auto get = [&](int count) {
    return static_cast<float*>(memory.get(static_cast<std::size_t>(count) * sizeof(float)));
  };
  const auto put = [&](float* block, int count) { memory.put(block, static_cast<std::size_t>(count) * sizeof(float)); };
  const auto blocks = [](int columns) { return static_cast<unsigned>((columns + threads / 32 - 1) / (threads / 32)); };
  constexpr int all = batch * width, score_count = batch * heads * steps_max;
  float* const x = get(all);
  embed<<<batch, threads, 0, on>>>(s.tokens, s.position, x);
  for (int i = 0; i < layers; ++i) {
    const float* const w = s.layer(i);
    float* n = get(all);
    normalise<<<batch, threads, 0, on>>>(x, n);
    float* const qkv = get(3 * all);
    multiply<then::store><<<blocks(3 * width), threads, 0, on>>>(n, w, qkv, width, 3 * width);
    put(n, all);
    float* const scores = get(score_count);
    float* const seen = get(all);
    const auto cache = state::cache_layer * static_cast<std::size_t>(i);
    attend<<<batch * heads, threads, 0, on>>>(qkv, s.keys + cache, s.values + cache, s.position, scores, seen);
    put(scores, score_count);
    put(qkv, 3 * all);
    multiply<then::add><<<blocks(width), threads, 0, on>>>(seen, w + 3 * state::square, x, width, width);
    put(seen, all);
    n = get(all);
    normalise<<<batch, threads, 0, on>>>(x, n);
    float* const up = get(4 * all);
    multiply<then::rectify><<<blocks(4 * width), threads, 0, on>>>(n, w + 4 * state::square, up, width, 4 * width);
    put(n, all);
    multiply<then::add><<<blocks(width), threads, 0, on>>>(up, w + 8 * state::square, x, 4 * width, width);
    put(up, 4 * all);
  }
  float* const n = get(all);
  normalise<<<batch, threads, 0, on>>>(x, n);
  put(x, all);
  float* const logits = get(batch * vocabulary);
  multiply<then::store><<<blocks(vocabulary), threads, 0, on>>>(n, s.head(), logits, width, vocabulary);
  put(n, all);
  pick<<<1, threads, 0, on>>>(logits, s.tokens, s.history, s.position);
  put(logits, batch * vocabulary);
}

}  // namespace decoder
