// SPDX-License-Identifier: Apache-2.0
//
// A pool that is recorded: the trace is valid, and says what was done.
#include "weir/trace/recorder.hpp"

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <map>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "support/results.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"
#include "weir/trace/validator.hpp"

namespace weir::test {
namespace {

using trace::record_kind;

class recording {
 public:
  explicit recording(const char* name)
      : path(std::filesystem::temp_directory_path() / ("weir-" + std::to_string(getpid()) + name)) {}
  ~recording() { std::filesystem::remove(path); }

  // Counts of the records; each was asked of a validator.
  std::map<record_kind, int> counts() const {
    auto in = trace::reader::open(path.string());
    INFO((in ? std::string() : in.error().message()));
    REQUIRE(in);
    std::map<record_kind, int> found;
    trace::validator valid;
    trace::record r;
    for (auto more = in->next(r);; more = in->next(r)) {
      INFO((more ? std::string() : more.error().message()));
      REQUIRE(more);
      if (!*more) break;
      const auto seen = valid.observe(r);
      INFO((seen ? std::string() : seen.error()));
      REQUIRE(seen);
      ++found[r.kind];
    }
    return found;
  }

  std::filesystem::path path;
  std::shared_ptr<trace::recorder> recorder = std::make_shared<trace::recorder>();
  std::shared_ptr<sim::device> device = sim::device::make({.bytes_total = std::size_t{1} << 30});
  weir::pool pool = weir::pool::make(device->make_backend(), {.observer = recorder});
};

TEST_CASE("recorder: what a pool did is a valid trace") {
  recording r(".weir");
  const weir::stream a = must(r.pool.stream(r.device->create_stream()));
  const weir::stream b = must(r.pool.stream(r.device->create_stream()));
  void* before = r.pool.allocate(100, a);
  REQUIRE(r.recorder->begin(r.path.string()));
  CHECK(r.recorder->is_recording());
  CHECK_FALSE(r.recorder->begin(r.path.string()));
  r.pool.deallocate(before, a);
  std::thread([&] { r.pool.deallocate(r.pool.allocate(5000, b), b); }).join();
  void* p = r.pool.allocate(std::size_t{64} << 20, a);
  must(r.pool.record_use(p, b));
  r.pool.deallocate(p, a);
  r.pool.deallocate_direct(r.pool.allocate_direct(100));
  CHECK_FALSE(r.pool.try_allocate(std::size_t{4} << 30, a));
  REQUIRE(r.recorder->end());
  CHECK_FALSE(r.recorder->is_recording());
  r.pool.deallocate(r.pool.allocate(5000, a), a);

  auto counts = r.counts();
  CHECK(counts[record_kind::allocate] == 3);
  CHECK(counts[record_kind::deallocate] == 3);
  CHECK(counts[record_kind::use] == 1);
  CHECK(counts[record_kind::failure] == 1);
  CHECK(counts[record_kind::native_allocate] >= 1);
  CHECK(counts[record_kind::stream_birth] >= 2);
}

TEST_CASE("recorder: it can record again, to another file") {
  recording r(".weir"), other(".second.weir");
  const weir::stream a = must(r.pool.stream(r.device->create_stream()));
  for (const auto& path : {r.path, other.path}) {
    REQUIRE(r.recorder->begin(path.string()));
    r.pool.deallocate(r.pool.allocate(5000, a), a);
    REQUIRE(r.recorder->end());
  }
  CHECK(r.counts()[record_kind::allocate] == 1);
  CHECK(other.counts()[record_kind::allocate] == 1);
  REQUIRE(r.recorder->end());  // nothing is being recorded
}

TEST_CASE("recorder: a forked child leaves the parent's file alone") {
  recording r(".weir");
  const weir::stream a = must(r.pool.stream(r.device->create_stream()));
  REQUIRE(r.recorder->begin(r.path.string()));
  void* p = r.pool.allocate(5000, a);
  const pid_t child = fork();
  if (child == 0) {
    (void)r.recorder->end().has_value();
    _exit(0);
  }
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  r.pool.deallocate(p, a);
  REQUIRE(r.recorder->end());
  CHECK(r.counts()[record_kind::deallocate] == 1);
}

TEST_CASE("recorder: a file that cannot be made is an error") {
  trace::recorder recorder;
  CHECK_FALSE(recorder.begin("/nowhere/at/all.weir"));
  CHECK_FALSE(recorder.is_recording());
}

}  // namespace
}  // namespace weir::test
