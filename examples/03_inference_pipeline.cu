// SPDX-License-Identifier: Apache-2.0
//
// A server: several threads take requests of random length, run a small transformer on a stream of their own, hand its
// output to a second stream that classifies it, and keep the last keys and values of recent requests in a store that
// any of them may evict from. All that lives on the device for a while comes from one allocator; the same requests are
// served with weir, with the native pool and with cudaMalloc, and each answer must be the same bit for bit.
//
//     03_inference_pipeline [--requests N] [--workers N] [--rounds N] [--json FILE]
//
// Three places show what stream order asks of a program, whichever allocator it is: `values` go when the host has put
// the last work that uses them on their stream; `serve` hands a block to another stream with an event, and frees it
// there; `session_store` frees a block on a stream that was made to wait for the one that wrote it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "03_allocators.hpp"
#include "03_transformer.cuh"

namespace {

using namespace pipeline;
using digest_word = unsigned long long;
using steady = std::chrono::steady_clock;

struct settings {
  std::size_t requests = 400, workers = 4, rounds = 3;
  const char* json = nullptr;
};

constexpr std::size_t sessions_kept = 48, workspace_bytes = std::size_t{32} << 20;

// From 16 to 1024 tokens in eights, short ones more often.
int length_of(std::size_t request) {
  std::uint64_t x = (request + 1) * 0x9E3779B97F4A7C15ULL;
  x ^= x >> 29;
  const double at = static_cast<double>(x % 10007) / 10006.0;
  return static_cast<int>(2.0 * std::pow(64.0, at)) * 8;
}

cudaEvent_t make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  return event;
}

// `later` does what it is given from now on after what `earlier` has.
void order(cudaStream_t earlier, cudaStream_t later, cudaEvent_t event) {
  check(cudaEventRecord(event, earlier), "cudaEventRecord");
  check(cudaStreamWaitEvent(later, event), "cudaStreamWaitEvent");
}

// The keys and values of the latest requests. Evicting is done by whoever comes with a new one.
class session_store {
 public:
  explicit session_store(allocator& from) : from_(from) {}
  ~session_store() {
    for (const session& s : kept_) check(cudaEventDestroy(s.written), "cudaEventDestroy");
    for (cudaEvent_t event : unused_) check(cudaEventDestroy(event), "cudaEventDestroy");
  }

  void keep(void* block, std::size_t bytes, const lane& by) {
    const session fresh{block, bytes, take_event()};
    check(cudaEventRecord(fresh.written, by.stream), "cudaEventRecord");
    session oldest{};
    {
      const std::lock_guard lock(mutex_);
      kept_.push_back(fresh);
      if (kept_.size() > sessions_kept) oldest = take_oldest();
    }
    if (oldest.block) drop(oldest, by);
  }
  void clear(const lane& by) {
    while (!kept_.empty()) drop(take_oldest(), by);
  }

 private:
  struct session {
    void* block = nullptr;
    std::size_t bytes = 0;
    cudaEvent_t written = nullptr;
  };

  cudaEvent_t take_event() {
    const std::lock_guard lock(mutex_);
    if (unused_.empty()) return make_event();
    cudaEvent_t event = unused_.back();
    unused_.pop_back();
    return event;
  }
  session take_oldest() {
    const session oldest = kept_.front();
    kept_.pop_front();
    return oldest;
  }
  void drop(const session& s, const lane& by) {
    check(cudaStreamWaitEvent(by.stream, s.written), "cudaStreamWaitEvent");
    from_.put(s.block, s.bytes, by.index);
    const std::lock_guard lock(mutex_);
    unused_.push_back(s.written);
  }

  allocator& from_;
  std::mutex mutex_;
  std::deque<session> kept_;
  std::vector<cudaEvent_t> unused_;
};

// A thread's two lanes, and where its answers arrive.
struct worker {
  lane compute, head;
  cudaEvent_t handed = nullptr;
  digest_word* answer = nullptr;  // pinned
};

lane make_lane(std::size_t index) {
  lane l;
  l.index = index;
  void* workspace = nullptr;  // for the program's life
  check(cudaStreamCreateWithFlags(&l.stream, cudaStreamNonBlocking), "cudaStreamCreate");
  check(cublasCreate(&l.blas), "cublasCreate");
  check(cudaMalloc(&workspace, workspace_bytes), "workspace");
  check(cublasSetStream(l.blas, l.stream), "cublasSetStream");
  check(cublasSetWorkspace(l.blas, workspace, workspace_bytes), "cublasSetWorkspace");
  return l;
}

std::vector<worker> make_workers(std::size_t count) {
  std::vector<worker> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i].compute = make_lane(2 * i);
    all[i].head = make_lane(2 * i + 1);
    all[i].handed = make_event();
    check(cudaMallocHost(&all[i].answer, sizeof(digest_word)), "cudaMallocHost");
  }
  return all;
}

// What classifies runs on the second lane, and frees there what the first one made.
void classify(allocator& from, const model& m, const worker& w, __half* x, int length) {
  const lane& on = w.head;
  const values pooled(from, on, width), logits(from, on, classes), sum(from, on, sizeof(digest_word) / sizeof(__half));
  auto* const total = reinterpret_cast<digest_word*>(sum.data());
  mean_rows<<<width / 256, 256, 0, on.stream>>>(x, length, pooled.data());
  multiply(on, {1, classes, width, pooled.data(), m.head(), logits.data(), width, classes, classes});
  check(cudaMemsetAsync(total, 0, sizeof(digest_word), on.stream), "cudaMemsetAsync");
  const auto words = [](const __half* p) { return reinterpret_cast<const std::uint32_t*>(p); };
  digest<<<64, 256, 0, on.stream>>>(words(x), std::size_t(length) * width / 2, total);
  digest<<<64, 256, 0, on.stream>>>(words(logits.data()), classes / 2, total);
  from.put(x, std::size_t(length) * width * sizeof(__half), on.index);
  check(cudaMemcpyAsync(w.answer, total, sizeof(digest_word), cudaMemcpyDeviceToHost, on.stream), "cudaMemcpyAsync");
}

digest_word serve(allocator& from, const model& m, const worker& w, session_store& sessions, std::size_t request) {
  const int length = length_of(request);
  const auto count = std::size_t(length) * width;
  values x(from, w.compute, count);
  fill_random<<<blocks_for(count), 256, 0, w.compute.stream>>>(x.data(), count, static_cast<std::uint32_t>(request), 1);
  for (int i = 0; i < layers; ++i) {
    values qkv(from, w.compute, 3 * count);
    attend(from, w.compute, m.layer(i), x.data(), length, qkv);
    feed_forward(from, w.compute, m.layer(i), x.data(), length);
    if (i + 1 == layers) sessions.keep(qkv.release(), qkv.bytes(), w.compute);
  }
  order(w.compute.stream, w.head.stream, w.handed);
  classify(from, m, w, x.release(), length);
  check(cudaStreamSynchronize(w.head.stream), "cudaStreamSynchronize");
  return *w.answer;
}

struct round_result {
  double seconds = 0;
  std::vector<double> latency_ms;
  std::vector<digest_word> answers;
};

round_result run_round(allocator& from, const model& m, const std::vector<worker>& workers, std::size_t requests) {
  round_result r;
  r.latency_ms.resize(requests);
  r.answers.resize(requests);
  session_store sessions(from);
  std::atomic<std::size_t> next{0};
  const auto begin = steady::now();
  std::vector<std::thread> threads;
  for (const worker& w : workers)
    threads.emplace_back([&] {
      check(cudaSetDevice(0), "cudaSetDevice");
      for (std::size_t i = next++; i < requests; i = next++) {
        const auto asked = steady::now();
        r.answers[i] = serve(from, m, w, sessions, i);
        r.latency_ms[i] = std::chrono::duration<double, std::milli>(steady::now() - asked).count();
      }
    });
  for (std::thread& t : threads) t.join();
  r.seconds = std::chrono::duration<double>(steady::now() - begin).count();
  sessions.clear(workers[0].compute);
  check(cudaDeviceSynchronize(), "the round's work");
  std::sort(r.latency_ms.begin(), r.latency_ms.end());
  return r;
}

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

// Medians of the timed rounds.
struct figures {
  std::string name;
  std::vector<double> requests_per_s, p50_ms, p99_ms;
  std::size_t peak_bytes = 0, differing = 0;

  void add(const round_result& r, const std::vector<digest_word>& expected) {
    const std::size_t n = r.latency_ms.size();
    requests_per_s.push_back(static_cast<double>(n) / r.seconds);
    p50_ms.push_back(r.latency_ms[n / 2]);
    p99_ms.push_back(r.latency_ms[n * 99 / 100]);
    for (std::size_t i = 0; i < n; ++i) differing += r.answers[i] != expected[i];
  }
};

void print(const std::vector<figures>& all, const settings& s) {
  std::printf("%zu requests, %zu workers, medians of %zu rounds in which the allocators took turns\n", s.requests,
              s.workers, s.rounds);
  std::printf("%-12s %12s %9s %9s %10s %10s\n", "allocator", "requests/s", "p50 ms", "p99 ms", "peak MiB", "differing");
  for (const figures& f : all)
    std::printf("%-12s %12.1f %9.3f %9.3f %10.1f %10zu\n", f.name.c_str(), median(f.requests_per_s), median(f.p50_ms),
                median(f.p99_ms), static_cast<double>(f.peak_bytes) / (1 << 20), f.differing);
}

void write_json(const std::vector<figures>& all, const settings& s) {
  std::FILE* out = std::fopen(s.json, "w");
  if (!out) fail(s.json, "cannot be written");
  std::fprintf(out, "{\"requests\": %zu, \"workers\": %zu, \"rounds\": %zu, \"allocators\": [", s.requests, s.workers,
               s.rounds);
  for (std::size_t i = 0; i < all.size(); ++i)
    std::fprintf(out,
                 "%s\n  {\"allocator\": \"%s\", \"requests_per_s\": %.2f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, "
                 "\"peak_bytes\": %zu, \"differing\": %zu}",
                 i ? "," : "", all[i].name.c_str(), median(all[i].requests_per_s), median(all[i].p50_ms),
                 median(all[i].p99_ms), all[i].peak_bytes, all[i].differing);
  std::fprintf(out, "\n]}\n");
  std::fclose(out);
}

settings read(int argc, char** argv) {
  settings s;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    std::size_t* number = option == "--requests"  ? &s.requests
                          : option == "--workers" ? &s.workers
                          : option == "--rounds"  ? &s.rounds
                                                  : nullptr;
    if (number) *number = std::strtoull(value, nullptr, 10);
    if (option == "--json") s.json = value;
    if ((!number || *number == 0) && (option != "--json" || !*value)) {
      std::fprintf(stderr, "usage: 03_inference_pipeline [--requests N] [--workers N] [--rounds N] [--json FILE]\n");
      std::exit(2);
    }
  }
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  const settings s = read(argc, argv);
  if (const auto gpus = weir::cuda_device_count(); !gpus || *gpus == 0) {
    std::puts("skipped: no CUDA device");
    return 4;
  }
  const model m;
  const std::vector<worker> workers = make_workers(s.workers);
  std::vector<cudaStream_t> streams;
  for (const worker& w : workers) streams.insert(streams.end(), {w.compute.stream, w.head.stream});

  std::vector<std::unique_ptr<allocator>> allocators;
  allocators.push_back(std::make_unique<weir_allocator>(streams));
  allocators.push_back(std::make_unique<native_allocator>(streams));
  allocators.push_back(std::make_unique<direct_allocator>());
  std::vector<figures> all;
  std::vector<digest_word> expected;
  for (const auto& a : allocators) {
    a->warm_up();
    const round_result warm = run_round(*a, m, workers, s.requests);
    a->warmed_up();
    if (expected.empty()) expected = warm.answers;
    all.push_back({a->name(), {}, {}, {}, 0, 0});
    for (std::size_t i = 0; i < s.requests; ++i) all.back().differing += warm.answers[i] != expected[i];
  }
  for (std::size_t round = 0; round < s.rounds; ++round)
    for (std::size_t i = 0; i < allocators.size(); ++i)
      all[i].add(run_round(*allocators[i], m, workers, s.requests), expected);
  std::size_t differing = 0;
  for (std::size_t i = 0; i < allocators.size(); ++i) {
    all[i].peak_bytes = allocators[i]->peak_bytes();
    differing += all[i].differing;
  }
  print(all, s);
  if (s.json) write_json(all, s);
  return differing == 0 ? 0 : 1;
}
