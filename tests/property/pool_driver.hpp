// SPDX-License-Identifier: Apache-2.0
//
// A random program on a pool over a simulated device, made from a seed, and what must be true of it.
//
// Every step draws from numbers of its own (seed and step), so a step may be left out and the others stay what they
// were as far as they can: a failing run is made small by leaving steps out. Each seed turns some operations off
// (swarm), for what is never freed or never trimmed finds other things than an even mix.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "property/random_source.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"

namespace weir::test {

enum class operation {
  allocate,
  burst,
  deallocate,
  deallocate_many,
  write,
  share,
  create_stream,
  retire_stream,
  lose_stream,
  advance,
  synchronize,
  trim,
  defragment,
  set_limit,
  neighbour,
  fault,
  direct,
  capture,
  visit_thread,
  bad_free,
  count
};

// What a seed chose for a whole run.
struct plan {
  explicit plan(std::uint64_t seed);

  std::uint64_t seed;
  unsigned steps;
  std::size_t device_bytes;
  std::size_t size_max;
  unsigned check_every;
  bool uses_faults;
  pool_options options;
  std::array<unsigned, static_cast<std::size_t>(operation::count)> weights;
};

struct failure {
  std::string what;
  std::vector<std::string> log;  // what was done, the last step last
};

struct run_counts {
  std::uint64_t steps = 0, allocations = 0, deallocations = 0, refused = 0, launches = 0;
};

class pool_driver {
 public:
  explicit pool_driver(const plan&);
  ~pool_driver();

  // Throws failure. Steps in `left_out` are not done.
  void run(const std::set<unsigned>& left_out);
  const run_counts& counts() const noexcept { return counts_; }

 private:
  // Called by several threads, on_native under the pool's growth lock.
  struct native_watch : observer {
    std::atomic<std::size_t> reserved_most{0};
    std::atomic<std::int64_t> live{0};
    std::atomic<std::size_t> leaked{0};
    void on_native(const native_event& e) noexcept override {
      std::size_t before = reserved_most.load();
      while (before < e.reserved && !reserved_most.compare_exchange_weak(before, e.reserved)) {}
    }
    void on_allocate(const allocation_event&) noexcept override { ++live; }
    void on_deallocate(const allocation_event&) noexcept override { --live; }
    void on_leak(const leak_event& e) noexcept override { leaked = e.count; }
  };

  struct stream_model {
    unsigned number = 0;  // never comes back
    stream_handle handle = nullptr;
    weir::stream token{};
    bool is_special = false;   // never dies
    bool is_blocking = false;  // with the legacy stream, which then may not be used while this one is captured
    bool is_capturing = false;
  };

  struct block {
    std::uintptr_t at = 0;
    std::size_t bytes = 0;
    std::size_t alignment = 0;
    bool is_direct = false;
    bool is_frozen = false;          // a stream that used it is gone: no more work on it, only its free
    std::set<unsigned> uses{};       // streams with work on it that nothing later is ordered after
    std::set<unsigned> announced{};  // by record_use
  };

  // operations
  void step(operation, random_source&);
  void allocate(random_source&);
  void burst(random_source&);
  void deallocate_one(random_source&);
  void deallocate_many(random_source&);
  void write(random_source&);
  void share(random_source&);
  void create_stream(random_source&);
  void end_stream(random_source&, bool retire);
  void synchronize(random_source&);
  void trim(random_source&);
  void set_limit(random_source&);
  void fault(random_source&);
  void allocate_direct(random_source&);
  void capture(random_source&);
  void visit_thread(random_source&);
  void bad_free(random_source&);
  void finish(random_source&);

  // parts of them
  bool allocate_on(stream_model&, std::size_t bytes, std::size_t alignment, random_source&);
  void launch_write(block&, stream_model&, random_source&);
  void order_before(block&, stream_model&, random_source&, bool with_announced);
  void free_block(std::uintptr_t at, stream_model&, random_source&);
  stream_model* pick_stream(random_source&);
  block* pick_block(random_source&);
  stream_model* by_number(unsigned);
  void forget_uses_of(unsigned number);
  bool is_usable(const block&);  // nothing that used it is capturing
  raw_stream raw(const stream_model& s) const { return raw_stream(s.handle); }

  // checks
  void check_result(const error&, const char* verb, std::size_t bytes, std::size_t alignment);
  void check_no_room(std::size_t bytes, std::size_t alignment);
  void check_cheap();
  void check_all();
  void check_walk(const statistics&);
  std::size_t rounded(const block&) const;  // 0: above 16 MiB, where more than one answer is right
  [[noreturn]] void fail(const std::string& what) const;
  void say(std::string text);

  const plan plan_;
  std::shared_ptr<sim::device> device_;
  std::shared_ptr<native_watch> watch_;
  pool pool_;
  std::size_t limit_;
  std::size_t native_limit_ = SIZE_MAX;  // of the native pool itself
  std::size_t neighbour_ = 0;
  std::vector<std::unique_ptr<stream_model>> streams_;
  unsigned next_number_ = 0;
  std::map<std::uintptr_t, block> live_;
  std::vector<std::uintptr_t> freed_;  // some addresses that were
  bool has_faults_ = false;            // some were injected, so calls may fail
  bool has_lost_streams_ = false;      // what they freed needs the device synchronised
  std::vector<std::string> log_;
  run_counts counts_;
};

// Runs a seed; where it fails, leaves out what is not needed to fail and returns the smallest failing run.
std::unique_ptr<failure> run_seed(std::uint64_t seed, run_counts&);

}  // namespace weir::test
