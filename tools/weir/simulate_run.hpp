// SPDX-License-Identifier: Apache-2.0
//
// One run: a pool or two on a simulated device, threads and streams that use it as a right program would, faults, and
// the checkers that stand outside of it. Same request, same run, bit for bit: figures::hash takes in everything that
// could be observed, addresses relative to the device.
//
//     simulation::run one({.seed = 7});
//     const auto found = one.go();     // nothing, or what went wrong at which step
//
// Every step draws from numbers of its own (seed and step), so a step may be left out and the others stay what they
// were as far as they can: a failing run is made small by leaving steps out.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulate_crew.hpp"
#include "simulate_journal.hpp"
#include "simulate_model.hpp"
#include "simulate_plan.hpp"
#include "simulate_tested.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"

namespace weir::simulation {

struct failure {
  std::string what;
  unsigned step = 0;  // of the plan; its count: at the end
};

// Where a bug that the library tells of in this thread goes.
void bugs_here_are(std::vector<std::string>*) noexcept;

struct figures {
  std::uint64_t hash = 14695981039346656037u;
  std::uint64_t steps = 0, allocations = 0, deallocations = 0, refused = 0, launches = 0, other_calls = 0;
  std::uint64_t hand_overs = 0, threads = 0, native_calls = 0;
  std::uint64_t calls_most = 0;  // of one operation to the device

  std::uint64_t operations() const noexcept { return allocations + deallocations + refused + other_calls; }
  void add(const figures&);
};

class run {
 public:
  explicit run(const request&, bool with_journal = false);
  ~run();
  run(const run&) = delete;
  run& operator=(const run&) = delete;

  std::optional<failure> go();
  const simulation::figures& figures() const noexcept { return figures_; }
  const simulation::journal& journal() const noexcept { return journal_; }
  const simulation::plan& plan() const noexcept { return plan_; }

 private:
  // How a stream is named in a call, and whether a free says its size.
  struct route {
    bool by_token = false;
    bool is_sized = false;
  };

  // the scheduler (simulate_run.cpp)
  void make_pool(const pool_plan&);
  void be_at(tested_pool& p) { here_ = &p; }
  unsigned take_turn(unsigned me);
  unsigned thread_of(unsigned step) const;
  std::size_t pool_of(unsigned step) const;
  void be(unsigned thread);
  bool is_left_out(unsigned step) const;
  void do_step(unsigned step);
  void perform(operation, random_source&);
  void arm_faults(random_source&);
  void arm_fault(sim::fault, unsigned count, unsigned after);

  // blocks (simulate_blocks.cpp)
  block* allocate_on(stream_model&, std::size_t bytes, std::size_t alignment, random_source&);
  result<void*> call_allocate(std::size_t bytes, std::size_t alignment, stream_model&, const route&);
  bool call_deallocate(std::uintptr_t at, std::size_t bytes, stream_model&, const route&);
  std::uintptr_t checked_place(void* got, std::size_t bytes, std::size_t alignment);
  void allocate(random_source&);
  void burst(random_source&);
  void pairs(random_source&);
  void queue(random_source&);
  void allocate_direct(random_source&);
  void launch_write(block&, stream_model&, random_source&);
  void write(random_source&);
  void share(random_source&);
  void read_on(block&, stream_model&, random_source&, bool announce);
  void order_before(const block&, stream_model&, random_source&, bool with_announced);
  void free_block(block&, stream_model&, random_source&);
  void deallocate_one(random_source&);
  void deallocate_many(random_source&);
  void bad_call(random_source&);

  // programs in the small (simulate_relay.cpp)
  void relay(random_source&);
  void squeeze(random_source&);
  void replace_stream(random_source&);
  void keep_busy(stream_model&, random_source&);
  void ask_again(unsigned stream, std::size_t bytes, std::size_t count, random_source&);

  // threads (simulate_threads.cpp)
  void start_thread();
  void end_thread(random_source&);
  void pass_on(random_source&);
  void guest(random_source&);
  void allocate_for_other(stream_model&, std::size_t bytes);
  stream_model* pick_other_default(random_source&);
  void expect_others(random_source&);
  void interrupt();
  void free_in_between(random_source&);

  // streams (simulate_streams.cpp)
  void create_stream(random_source&);
  void take_tokens(stream_model&);
  void end_stream(random_source&, bool retire);
  bool end_one(stream_model&, random_source&, bool retire);
  bool retire_everywhere(stream_model&, random_source&);
  route random_route(const stream_model&, random_source&) const;
  void hand_uses(stream_model& from, stream_model& to);
  void synchronize(random_source&);
  void synchronize_with(stream_model&);
  void capture(random_source&);
  stream_model* pick_stream(random_source&);
  stream_model* pick_shared(random_source&, const stream_model* but);
  stream_model* by_number(unsigned);
  stream_model& own_default();
  block* pick_block(random_source&);
  weir::stream& token_of(stream_model& s) const { return s.tokens[here_->number]; }
  const weir::stream& token_of(const stream_model& s) const { return s.tokens[here_->number]; }
  bool is_mine(const stream_model& s) const { return s.owner == stream_model::of_all || s.owner == me_->number; }
  bool is_usable(const block&);
  bool knows(const use&) const;
  void tell_all();
  void hear();

  // the pool as a whole (simulate_pool.cpp)
  void set_limit(random_source&);
  void neighbour(random_source&);
  void stall(random_source&);
  bool asked_for_memory(std::size_t bytes, unsigned attempt);
  void told_of_soft_limit();
  void finish(random_source&);
  void finish_lost(random_source&);
  void finish_streams(random_source&);
  void finish_live(random_source&);

  // trims (simulate_trim.cpp)
  struct layout {
    std::size_t longest = 0;
    std::set<std::uintptr_t> chunks{};
    std::map<std::uintptr_t, std::size_t> ranges{};
  };
  void trim(random_source&);
  std::optional<trim_report> trim_by_policies(bool is_quiet);
  void rest(random_source&);
  void make_quiet();
  void use_some(random_source&);
  void check_new_decay(std::uint64_t half_life_ns, random_source&);
  void check_new_idle(std::uint64_t idle_ns, random_source&);
  std::optional<trim_report> call_trim(std::optional<std::size_t> keep);
  layout look_at_layout() const;
  void check_trim(const trim_report&);
  void check_no_more(const layout& before, std::size_t keep, std::size_t reserved) const;
  void check_quiet_trim(const trim_report&, std::size_t keep, bool is_by_policy) const;
  void check_not_idle(const layout& before, std::uint64_t ns) const;

  // checks (simulate_checks.cpp)
  void check_error(const error&, const char* verb, std::size_t bytes = 0, std::size_t alignment = 0);
  void check_no_room(std::size_t bytes, std::size_t alignment);
  void check_calls(std::uint64_t before, const char* verb);
  void check_step();
  void check_all();
  void check_sound();
  void check_sums(const statistics&);
  void check_classes(const statistics&);
  void check_walk(const statistics&);
  std::size_t rounded(const block&) const;
  [[noreturn]] void fail(const std::string& what) const;
  void note(std::uint64_t);
  void note_statistics(const statistics&);
  std::uint64_t place(const void*) const;

  raw_stream raw(const stream_model& s) const { return raw_stream(s.handle); }
  template <class Text>
  void say(Text text) {
    if (journal_.is_on) journal_.say(text());
  }

  const request asked_;
  const simulation::plan plan_;
  simulation::journal journal_;
  simulation::figures figures_;
  std::shared_ptr<sim::device> device_;
  std::vector<std::unique_ptr<tested_pool>> pools_;
  tested_pool* here_ = nullptr;  // whose step it is
  std::size_t neighbour_ = 0;
  std::vector<std::unique_ptr<stream_model>> streams_;
  std::vector<std::unique_ptr<thread_model>> threads_;
  thread_model* me_ = nullptr;  // whose turn it is
  std::map<unsigned, std::uint64_t> known_by_all_;
  unsigned told_ = 0;
  unsigned next_stream_ = 0;
  unsigned next_thread_ = 0;
  unsigned streams_ever_ = 0;      // what a pool may have met
  bool has_faults_ = false;        // some were injected, so calls may fail
  bool is_lost_ = false;           // the device may be
  bool has_lost_streams_ = false;  // what they freed needs the device synchronised
  bool has_raw_streams_ = false;   // some had no token, or are a thread's default one
  random_source* handler_random_ = nullptr;
  stream_model* handler_stream_ = nullptr;
  unsigned handler_calls_ = 0;
  std::uintptr_t busy_at_ = 0;  // the block that the call under way is about
  unsigned step_ = 0;
  unsigned ending_ = crew::nobody;  // has done its last step; whoever comes next waits for its end
  std::optional<failure> found_;
  std::vector<std::string> bugs_;  // what the bug handler was told
  std::unique_ptr<crew> crew_;
};

}  // namespace weir::simulation
