// SPDX-License-Identifier: Apache-2.0
//
// Real allocation traces sent straight to a simulated native pool hold what they hold on the device that was measured.
// This is what the model is worth. The traces are not in the repository; without them the cases skip themselves.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <zlib.h>

#include "support/results.hpp"
#include "weir/sim.hpp"

namespace weir::test {
namespace {

struct measured {
  const char* trace;
  double reserved_over_live;
  double host_ms;
};

// One H200, every call to the native pool, first pass.
constexpr measured table[] = {
    {"llm_serving", 1.044, 989}, {"vision_mixed", 1.142, 71},  {"training_llm", 1.077, 318},
    {"gnn", 1.013, 400},         {"moe", 1.019, 337},          {"diffusion_unet", 1.010, 364},
    {"recsys", 1.060, 621},      {"llm_generate", 1.027, 460},
};

// Reads the lines `a id bytes stream` and `f id stream`.
class replay {
 public:
  void run(const std::string& path) {
    const gzFile file = gzopen(path.c_str(), "rb");
    REQUIRE(file != nullptr);
    char line[4096];
    while (gzgets(file, line, sizeof line)) step(line);
    gzclose(file);
  }
  double reserved_over_live() {
    return static_cast<double>(must(target_->pool_bytes()).reserved_high) / static_cast<double>(peak_);
  }
  double host_ms() const { return static_cast<double>(device_->now_ns()) / 1e6; }

 private:
  struct block {
    void* pointer = nullptr;
    std::uint64_t bytes = 0;
  };

  void step(char* line) {
    char* rest = line + 1;
    if (*line == 'a') {
      const std::uint64_t id = std::strtoull(rest, &rest, 10);
      const std::uint64_t bytes = std::strtoull(rest, &rest, 10);
      const auto made = target_->allocate(bytes, stream(std::strtoull(rest, &rest, 10)));
      if (!made) FAIL(made.error().message());
      live_[id] = {*made, bytes};
      peak_ = std::max(peak_, live_bytes_ += bytes);
    } else if (*line == 'f') {
      const auto it = live_.find(std::strtoull(rest, &rest, 10));
      if (!target_->deallocate(it->second.pointer, stream(std::strtoull(rest, &rest, 10)))) FAIL("a free failed");
      live_bytes_ -= it->second.bytes;
      live_.erase(it);
    }
  }
  stream_handle stream(std::uint64_t number) {
    const auto [it, is_new] = streams_.try_emplace(number);
    if (is_new) it->second = device_->create_stream();
    return it->second;
  }

  std::shared_ptr<sim::device> device_ = sim::device::make();
  std::unique_ptr<backend> target_ = device_->make_backend();
  std::unordered_map<std::uint64_t, block> live_;
  std::unordered_map<std::uint64_t, stream_handle> streams_;
  std::uint64_t live_bytes_ = 0;
  std::uint64_t peak_ = 0;
};

TEST_CASE("native replay: footprints are within 0.03 of the measured ones on six traces, within 0.05 on all eight") {
  if (!std::filesystem::exists(std::string(WEIR_SHARED_DIR) + "/traces")) SKIP("no traces: WEIR_SHARED_DIR is not set");
  int close = 0;
  for (const measured& real : table) {
    replay r;
    r.run(std::string(WEIR_SHARED_DIR) + "/traces/" + real.trace + ".trace.gz");
    const double off = std::abs(r.reserved_over_live() - real.reserved_over_live);
    INFO(real.trace << ": reserved over live " << r.reserved_over_live() << ", measured " << real.reserved_over_live
                    << "; modelled " << r.host_ms() << " ms, measured " << real.host_ms);
    CHECK(off <= 0.05);
    CHECK(r.host_ms() >= real.host_ms / 3);
    CHECK(r.host_ms() <= real.host_ms * 1.5);
    close += off <= 0.03;
  }
  CHECK(close >= 6);
}

}  // namespace
}  // namespace weir::test
