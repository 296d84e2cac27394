// SPDX-License-Identifier: Apache-2.0
//
// A CUDA graph whose scratch memory is weir's. A small decoder (04_decoder.cuh) writes a thousand tokens a sequence:
// eagerly, where every step allocates and frees its scratch blocks, and as a graph captured once and launched a
// thousand times. Each way runs alone, which is timed, and again while eager work allocates, writes and checks on the
// same stream and on another. The same with the native pool, where cudaMallocAsync inside a capture makes memory nodes.
// All must write the same tokens.
//
//     04_cuda_graph [--steps N] [--json FILE]
//
// What stream capture asks of a program that uses weir is in weir_memory::capture.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "04_decoder.cuh"
#include "weir/pool.hpp"

namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

struct streams {
  cudaStream_t decode, other;
};

cudaGraph_t captured(cudaStream_t on, const decoder::state& s, auto& scratch) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(on, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  decoder::step(scratch, s, on);
  check(cudaStreamEndCapture(on, &graph), "cudaStreamEndCapture");
  return graph;
}

// --- where memory comes from -----------------------------------------------------------------------------------------

class weir_memory {
 public:
  static constexpr const char* name = "weir";
  explicit weir_memory(const streams& s)
      : pool_(weir::pool::make(0)), decode_(pool_.stream(s.decode).value()), other_(pool_.stream(s.other).value()) {}
  ~weir_memory() {
    (void)for_graphs_.release(decode_).has_value();  // after the graph's last launch
    (void)pool_.retire(decode_).has_value();
    (void)pool_.retire(other_).has_value();
  }

  void* get(std::size_t bytes, bool is_other) { return pool_.allocate(bytes, is_other ? other_ : decode_); }
  void put(void* block, std::size_t bytes, bool is_other) {
    pool_.deallocate(block, bytes, is_other ? other_ : decode_);
  }
  // The scope spans the capture; what is allocated on the stream meanwhile stays the graph's until release().
  template <class Scratch>
  cudaGraph_t capture(const streams& s, const decoder::state& state, Scratch& scratch) {
    const weir::capture_scope scope = pool_.capture(decode_);
    for_graphs_ = scope.memory();
    return captured(s.decode, state, scratch);
  }
  std::size_t reserved_peak() { return pool_.statistics().reserved_peak; }
  std::size_t graph_bytes() { return for_graphs_.bytes(); }

 private:
  weir::pool pool_;
  weir::stream decode_, other_;
  weir::graph_memory for_graphs_;
};

// A pool of its own, that keeps what it has.
class native_memory {
 public:
  static constexpr const char* name = "native";
  explicit native_memory(const streams& s) : streams_(s) {
    cudaMemPoolProps what{};
    what.allocType = cudaMemAllocationTypePinned;
    what.location.type = cudaMemLocationTypeDevice;
    auto keep = std::numeric_limits<unsigned long long>::max();
    check(cudaMemPoolCreate(&pool_, &what), "cudaMemPoolCreate");
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep), "release threshold");
    check(cudaDeviceGraphMemTrim(0), "cudaDeviceGraphMemTrim");
    unsigned long long zero = 0;
    check(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrReservedMemHigh, &zero), "graph memory");
  }
  ~native_memory() { (void)cudaMemPoolDestroy(pool_); }

  void* get(std::size_t bytes, bool is_other) {
    void* block = nullptr;
    check(cudaMallocFromPoolAsync(&block, bytes, pool_, of(is_other)), "cudaMallocFromPoolAsync");
    return block;
  }
  void put(void* block, std::size_t, bool is_other) { check(cudaFreeAsync(block, of(is_other)), "cudaFreeAsync"); }
  template <class Scratch>
  cudaGraph_t capture(const streams& s, const decoder::state& state, Scratch& scratch) {
    return captured(s.decode, state, scratch);
  }
  std::size_t reserved_peak() {
    unsigned long long high = 0;
    check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemHigh, &high), "reserved memory");
    return high + graph_bytes();
  }
  std::size_t graph_bytes() {
    unsigned long long high = 0;
    check(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrReservedMemHigh, &high), "graph memory");
    return high;
  }

 private:
  cudaStream_t of(bool is_other) const { return is_other ? streams_.other : streams_.decode; }
  streams streams_;
  cudaMemPool_t pool_ = nullptr;
};

template <class Memory>
struct scratch_of {
  Memory& memory;
  void* get(std::size_t bytes) { return memory.get(bytes, false); }
  void put(void* block, std::size_t bytes) { memory.put(block, bytes, false); }
};

// --- eager work beside it --------------------------------------------------------------------------------------------

__global__ void stamp(std::uint32_t* block, std::size_t count, std::uint32_t seed) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x)
    block[i] = decoder::hash(seed ^ static_cast<std::uint32_t>(i));
}

__global__ void verify(const std::uint32_t* block, std::size_t count, std::uint32_t seed, unsigned long long* wrong) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x)
    if (block[i] != decoder::hash(seed ^ static_cast<std::uint32_t>(i))) atomicAdd(wrong, 1ULL);
}

// The last few blocks of one stream, each checked when it goes.
template <class Memory>
class eager_work {
 public:
  eager_work(Memory& memory, cudaStream_t on, bool is_other, unsigned long long* wrong)
      : memory_(memory), on_(on), is_other_(is_other), wrong_(wrong), random_(is_other ? 1U : 2U) {}
  ~eager_work() {
    while (!live_.empty()) drop();
  }
  void some() {
    const std::size_t words = std::size_t{64} << (random_() % 15);  // up to 4 MiB
    live_.push_back({memory_.get(words * 4, is_other_), words, ++seed_});
    stamp<<<64, 256, 0, on_>>>(static_cast<std::uint32_t*>(live_.back().begin), words, seed_);
    if (live_.size() > 8) drop();
  }

 private:
  struct block {
    void* begin;
    std::size_t words;
    std::uint32_t seed;
  };
  void drop() {
    const block b = live_.front();
    live_.pop_front();
    verify<<<64, 256, 0, on_>>>(static_cast<const std::uint32_t*>(b.begin), b.words, b.seed, wrong_);
    memory_.put(b.begin, b.words * 4, is_other_);
  }

  Memory& memory_;
  cudaStream_t on_;
  bool is_other_;
  unsigned long long* wrong_;
  std::mt19937 random_;
  std::deque<block> live_;
  std::uint32_t seed_ = 0;
};

// --- runs ------------------------------------------------------------------------------------------------------------

struct figures {
  std::string memory, way;
  double us_alone = 0, us_beside = 0;  // a step
  std::size_t peak_alone = 0, peak_beside = 0, graph_bytes = 0;
  unsigned long long wrong = 0;
  bool same = true;
};

class program {
 public:
  explicit program(int steps) : steps_(steps) {
    const auto bytes = [](std::size_t count) { return count * sizeof(float); };
    get(&s_.weights, bytes(decoder::state::weight_count));
    get(&s_.keys, bytes(decoder::state::cache_layer * decoder::layers));
    get(&s_.values, bytes(decoder::state::cache_layer * decoder::layers));
    get(&s_.tokens, sizeof(int) * decoder::batch);
    get(&s_.history, sizeof(int) * decoder::batch * decoder::steps_max);
    get(&s_.position, sizeof(int));
    get(&wrong_, sizeof *wrong_);
    check(cudaStreamCreateWithFlags(&on_.decode, cudaStreamNonBlocking), "cudaStreamCreate");
    check(cudaStreamCreateWithFlags(&on_.other, cudaStreamNonBlocking), "cudaStreamCreate");
    decoder::fill_random<<<1024, 256>>>(s_.weights, static_cast<std::uint32_t>(decoder::state::weight_count), 3, 0.08F);
    check(cudaDeviceSynchronize(), "weights");
  }

  template <class Memory>
  figures run_eagerly() {
    Memory memory(on_);
    scratch_of<Memory> scratch{memory};
    return measure(memory, "eager", [&] { decoder::step(scratch, s_, on_.decode); });
  }

  template <class Memory>
  figures run_as_graph() {
    Memory memory(on_);
    scratch_of<Memory> scratch{memory};
    cudaGraph_t graph = memory.capture(on_, s_, scratch);
    cudaGraphExec_t executable = nullptr;
    check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    figures f = measure(memory, "graph", [&] { check(cudaGraphLaunch(executable, on_.decode), "cudaGraphLaunch"); });
    f.graph_bytes = memory.graph_bytes();
    check(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
    check(cudaGraphDestroy(graph), "cudaGraphDestroy");
    return f;
  }

 private:
  template <class T>
  static void get(T** to, std::size_t bytes) {
    void* block = nullptr;
    check(cudaMalloc(&block, bytes), "cudaMalloc");
    check(cudaMemset(block, 0, bytes), "cudaMemset");
    *to = static_cast<T*>(block);
  }

  void begin() {
    decoder::begin<<<1, 32, 0, on_.decode>>>(s_.tokens, s_.position);
    check(cudaStreamSynchronize(on_.decode), "the beginning");
  }
  // Whether this run wrote what the first one did.
  bool is_as_expected() {
    std::vector<int> tokens(static_cast<std::size_t>(steps_) * decoder::batch);
    check(cudaMemcpy(tokens.data(), s_.history, tokens.size() * sizeof(int), cudaMemcpyDeviceToHost), "tokens");
    if (expected_.empty()) expected_ = tokens;
    return tokens == expected_;
  }

  template <class Step, class Beside>
  double time(Step step, Beside beside) {
    begin();
    const auto from = std::chrono::steady_clock::now();
    for (int i = 0; i < steps_; ++i) {
      step();
      beside();
    }
    check(cudaStreamSynchronize(on_.decode), "decoding");
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - from;
    return took.count() / steps_;
  }

  template <class Memory, class Step>
  figures measure(Memory& memory, const char* way, Step step) {
    figures f{.memory = Memory::name, .way = way};
    (void)time(step, [] {});
    f.us_alone = time(step, [] {});
    f.same = is_as_expected();
    f.peak_alone = memory.reserved_peak();
    check(cudaMemset(wrong_, 0, sizeof *wrong_), "cudaMemset");
    std::atomic<bool> is_over{false};
    std::thread other([&] {
      check(cudaSetDevice(0), "cudaSetDevice");
      eager_work<Memory> work(memory, on_.other, true, wrong_);
      while (!is_over) work.some();
    });
    {
      eager_work<Memory> work(memory, on_.decode, false, wrong_);
      f.us_beside = time(step, [&] { work.some(); });
      is_over = true;
      other.join();
    }
    check(cudaDeviceSynchronize(), "eager work");
    f.same = is_as_expected() && f.same;
    f.peak_beside = memory.reserved_peak();
    check(cudaMemcpy(&f.wrong, wrong_, sizeof f.wrong, cudaMemcpyDeviceToHost), "eager work");
    return f;
  }

  int steps_;
  decoder::state s_{};
  streams on_{};
  unsigned long long* wrong_ = nullptr;
  std::vector<int> expected_;
};

double in_mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

void print(const std::vector<figures>& all, int steps) {
  std::printf("%d steps of %d sequences; beside: with eager work on the same stream and on another\n", steps,
              decoder::batch);
  std::printf("%-8s %-6s %12s %12s %12s %12s %12s %7s %7s\n", "memory", "way", "us alone", "us beside", "MiB alone",
              "MiB beside", "MiB graph", "tokens", "wrong");
  for (const figures& f : all)
    std::printf("%-8s %-6s %12.2f %12.2f %12.1f %12.1f %12.1f %7s %7llu\n", f.memory.c_str(), f.way.c_str(), f.us_alone,
                f.us_beside, in_mib(f.peak_alone), in_mib(f.peak_beside), in_mib(f.graph_bytes),
                f.same ? "same" : "DIFFER", f.wrong);
}

bool write_json(const std::vector<figures>& all, int steps, const char* path) {
  std::FILE* out = std::fopen(path, "w");
  if (!out) return false;
  std::fprintf(out, "{\"steps\": %d, \"runs\": [", steps);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const figures& f = all[i];
    std::fprintf(
        out,
        "%s\n  {\"memory\": \"%s\", \"way\": \"%s\", \"us_per_step\": %.3f, \"us_per_step_beside\": %.3f, "
        "\"peak_bytes\": %zu, \"peak_bytes_beside\": %zu, \"graph_bytes\": %zu, \"same\": %s, \"wrong\": %llu}",
        i ? "," : "", f.memory.c_str(), f.way.c_str(), f.us_alone, f.us_beside, f.peak_alone, f.peak_beside,
        f.graph_bytes, f.same ? "true" : "false", f.wrong);
  }
  std::fprintf(out, "\n]}\n");
  return std::fclose(out) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  int steps = 1000;
  const char* json = nullptr;
  bool is_understood = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--steps") == 0)
      steps = std::atoi(argv[i + 1]);
    else if (std::strcmp(argv[i], "--json") == 0)
      json = argv[i + 1];
    else
      is_understood = false;
  }
  if (!is_understood || steps < 1 || steps > decoder::steps_max) {
    std::fprintf(stderr, "usage: 04_cuda_graph [--steps N] [--json FILE], at most %d steps\n", decoder::steps_max);
    return 2;
  }
  if (const auto gpus = weir::cuda_device_count(); !gpus || *gpus == 0) {
    std::puts("skipped: no CUDA device");
    return 4;
  }
  program p(steps);
  std::vector<figures> all;
  all.push_back(p.run_eagerly<weir_memory>());
  all.push_back(p.run_as_graph<weir_memory>());
  all.push_back(p.run_eagerly<native_memory>());
  all.push_back(p.run_as_graph<native_memory>());
  print(all, steps);
  if (json && !write_json(all, steps, json)) return 1;
  const auto is_right = [](const figures& f) { return f.same && f.wrong == 0; };
  return std::all_of(all.begin(), all.end(), is_right) ? 0 : 1;
}
