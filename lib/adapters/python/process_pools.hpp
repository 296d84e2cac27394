// SPDX-License-Identifier: Apache-2.0
//
// The pools of this process that its hosts share (PyTorch, CuPy and Numba in one program use one memory), one a device,
// made at first use. They are never destroyed: tensors outlive every destructor there is.
//
// No host's stream is ours. Each allocation identifies its stream, which also refuses one that is being captured; each
// free is in the order of the stream identified then, whatever became of it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "adapters/c/edge.hpp"
#include "adapters/python/block_table.hpp"
#include "weir/sim.hpp"
#include "weir/trace/recorder.hpp"

namespace weir::python {

inline constexpr int devices_max = 64;

// Torch's name for the memory of one graph, or several.
using graph_id = std::pair<std::uint64_t, std::uint64_t>;

class process_pools {
 public:
  // The process's own; others are for tests.
  static process_pools& the() noexcept;
  process_pools();
  ~process_pools();

  struct setup {
    pool_options options{};
    bool is_simulated = false;  // for tests: each device is a simulated one
    bool is_traceable = false;  // pools have a recorder, so that tracing can begin at any time
    bool has_peers = true;      // each device's memory may be used by the others that can reach it
  };
  // errc::invalid_argument once a pool has been made.
  result<void> configure(setup) noexcept;
  bool is_traceable() const noexcept { return recorder_ != nullptr; }
  trace::recorder* recorder() const noexcept { return recorder_.get(); }

  // The device's pool, made now if it was not. errc::forked in a child of the process that made any.
  result<weir_pool*> on(int device) noexcept;
  weir_pool* if_made(int device) const noexcept;
  bool is_forked() const noexcept;

  result<void*> allocate(int device, std::size_t bytes, raw_stream) noexcept;
  // `bytes` 0: not said; device -1: not said.
  result<void> deallocate(void* block, std::size_t bytes, int device) noexcept;
  result<void> record_use(void* block, raw_stream) noexcept;

  // For hosts that know no streams: usable at once on every stream of the device. Freed blocks gather until there are
  // many, or memory is short; then the device is waited for once and they go.
  result<void*> allocate_for_all(int device, std::size_t bytes) noexcept;
  result<void> deallocate_from_all(void* block, std::size_t bytes, int device) noexcept;
  // While one is held nothing gathered goes, unless memory is short.
  void hold_gathered(int device, int change) noexcept;

  // Gives all that is free back to the driver, after waiting for the devices.
  result<void> release_free() noexcept;
  // Of the device's memory; of a pool that is not made yet, remembered.
  result<void> set_memory_fraction(int device, double fraction) noexcept;

  // Allocations on `stream` come from the memory of that graph until end_capture(); it is given back when it was
  // released as often as it was begun.
  // Where a capture failed torch does not say that it ended: the next on that stream does.
  result<void> begin_capture(int device, graph_id, raw_stream stream) noexcept;
  result<void> end_capture(int device, graph_id) noexcept;
  result<void> release_graph(int device, graph_id) noexcept;

  std::size_t live_count() noexcept { return blocks_.count(); }
  sim::device* simulated() const noexcept { return simulated_.get(); }  // of the last pool made

 private:
  struct gathered_block {
    void* pointer;
    std::size_t bytes;
  };
  // Of a host without streams.
  struct streamless {
    std::mutex mutex;
    weir::stream own;  // nothing but our waits is ever put on it
    std::vector<gathered_block> gathered;
    std::size_t gathered_bytes = 0;
    int holds = 0;
  };
  struct open_scope {
    weir::stream on;
    capture_scope scope;
  };
  struct graph {
    graph_memory memory;
    std::vector<open_scope> scopes;
    int begun = 0;
  };

  result<weir_pool*> make(int device) noexcept;
  result<std::unique_ptr<backend>> make_backend(int device) const noexcept;
  result<void> wait_for_own(weir::pool&, const weir::stream&) noexcept;
  void end_scopes_on(const weir::stream&) noexcept;
  result<void> release_gathered(int device, weir::pool&) noexcept;

  std::mutex mutex_;  // of making and configuring
  setup setup_;
  std::shared_ptr<trace::recorder> recorder_;
  std::shared_ptr<sim::device> simulated_;
  std::array<std::atomic<weir_pool*>, devices_max> pools_{};
  std::array<double, devices_max> fractions_{};  // 0: not set
  std::array<streamless, devices_max> streamless_;
  block_table blocks_;
  std::mutex graphs_mutex_;
  std::map<std::pair<int, graph_id>, graph> graphs_;
};

// Of a free that no caller can be told of: torch_allocator.cpp.
void report_unless_over(const result<void>&) noexcept;

}  // namespace weir::python
