// SPDX-License-Identifier: Apache-2.0
//
// Bytes as a program on a pool over a simulated device. The program is right: it uses and frees a block after all that
// was done with it before, by an event, by waiting on the host, or by record_use; and now and then it makes a call that
// has to be refused. The device's order checker, the pool's own validate() and a list of live blocks look on.
//
// Each operation takes a byte for what it is and some for its operands, so that an input with bytes cut out or doubled
// is still a program much like it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fuzz/fuzz_input.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"

namespace weir::fuzz {

class pool_program {
 public:
  explicit pool_program(fuzz_input&);
  ~pool_program();
  pool_program(const pool_program&) = delete;
  pool_program& operator=(const pool_program&) = delete;

  void run();

 private:
  struct stream_model {
    unsigned number = 0;  // never comes back
    stream_handle handle = nullptr;
    weir::stream token{};
    bool is_special = false;   // never dies
    bool is_blocking = false;  // with the legacy stream
  };
  struct block {
    std::size_t bytes = 0;
    std::size_t alignment = pool::alignment_default;
    std::size_t direct_bytes = 0;    // of a direct one: with what its alignment takes
    bool is_frozen = false;          // a stream that was announced is gone: no more work on it, only its free
    std::set<unsigned> uses{};       // streams with work on it that nothing later is ordered after
    std::set<unsigned> announced{};  // by record_use
    bool is_direct() const noexcept { return direct_bytes != 0; }
  };
  using live_blocks = std::map<std::uintptr_t, block>;
  struct leak_watch : observer {
    std::size_t leaked = 0;
    void on_leak(const leak_event& e) noexcept override { leaked = e.count; }
  };

  void step();
  void finish();

  // operations
  void allocate(std::size_t bytes, std::size_t alignment);
  void allocate_many();
  void allocate_direct();
  void deallocate_one();
  void deallocate_many();
  void write();
  void share();
  void create_stream();
  void end_stream();
  void synchronize();
  void capture();
  void give_back();
  void set_limit();
  void inject_fault();
  void make_mistake();
  void visit_thread();

  // parts of them
  bool allocate_on(stream_model&, std::size_t bytes, std::size_t alignment);
  void launch_write(live_blocks::iterator, stream_model&);
  void order_before(const block&, const stream_model&, bool with_announced);
  void free_block(live_blocks::iterator, stream_model&);
  stream_model& pick_stream();
  live_blocks::iterator pick_block();  // end() where none is live
  stream_model* by_number(unsigned);
  void forget_uses_of(unsigned number);

  // checks
  void check_refusal(const error&) const;
  void check_step() const;
  void check_all() const;

  fuzz_input& in_;
  std::shared_ptr<sim::device> device_;
  std::shared_ptr<leak_watch> watch_;  // null: the pool is not watched, its gates are not guarded
  pool pool_;
  std::size_t limit_;
  std::vector<std::unique_ptr<stream_model>> streams_;
  unsigned next_number_ = 0;
  live_blocks live_;
  std::uintptr_t last_freed_ = 0;
  bool has_faults_ = false;        // some were injected, so calls may fail
  bool has_lost_streams_ = false;  // what they freed needs the device synchronised
  unsigned threads_left_ = 3;      // they cost more than all else
};

}  // namespace weir::fuzz
