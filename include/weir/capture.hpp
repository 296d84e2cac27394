// SPDX-License-Identifier: Apache-2.0
//
// Memory for CUDA graphs. A graph keeps the addresses its kernels were captured with, so what was allocated while a
// stream was being captured must be nobody else's for as long as the graph may run.
//
//     weir::graph_memory memory;
//     {
//       weir::capture_scope scope = pool.capture(stream);
//       cudaStreamBeginCapture(handle, cudaStreamCaptureModeGlobal);
//       void* p = pool.allocate(bytes, stream);   // from memory that belongs to the scope
//       kernel<<<grid, threads, 0, handle>>>(p);
//       pool.deallocate(p, stream);               // again within this capture, in stream order
//       cudaStreamEndCapture(handle, &graph);
//       memory = scope.memory();
//     }
//     ... instantiate, launch as often as you like ...
//     memory.release(stream);                     // after the last launch on `stream`, or one it was ordered behind
//
// A scope spans a capture: it is opened before the capture begins and ends after the capture has ended. While it is
// open every allocation on its stream comes from its memory, whether the stream is being captured or not, by a lock
// and never by a thread's cache. No other thread may be in a call on that stream when it is opened.
//
// Each stream that takes part in a capture and allocates needs a scope of its own; give them one memory:
//
//     auto one = pool.capture(a);
//     auto two = pool.capture(b, one.memory());
//
// Several graphs may share one memory: the second scope is given the memory of the first, and allocates what the first
// has freed. Graphs that share memory must never run at the same time, and what one leaves in a block it has freed, the
// other may overwrite. A block that is live at the end of a capture stays where it is, for the graph writes there each
// time it runs; it may be freed at any time, on any stream, and serves later captures of the same memory.
#pragma once

#include <cstddef>
#include <memory>

#include "weir/export.hpp"
#include "weir/result.hpp"
#include "weir/stream.hpp"

namespace weir {

namespace detail {
class pinned_memory;
class pool_impl;
}  // namespace detail

// A share of memory that graphs were captured with; empty when default-constructed. Copies are shares of the same
// memory, and the last one's end gives it back to the pool. Thread-safe as a shared_ptr is. Once the pool is gone a
// share does nothing, and its graphs must not run.
class WEIR_EXPORT graph_memory {
 public:
  graph_memory() noexcept = default;
  graph_memory(const graph_memory&) noexcept;
  graph_memory(graph_memory&&) noexcept;
  graph_memory& operator=(graph_memory) noexcept;
  // Gives up this share without a word of where the graph ran: the last one waits for the device, any other leaves it
  // to those that remain.
  ~graph_memory();

  explicit operator bool() const noexcept { return memory_ != nullptr; }
  friend bool operator==(const graph_memory&, const graph_memory&) = default;

  // Native bytes that are nobody else's for its sake; 0 when empty, or the pool is gone.
  std::size_t bytes() const noexcept;

  // Gives up this share, which is empty afterwards. Where it was the last, the memory is the pool's again behind the
  // work that `after` has now, and nothing waits; but the device is waited for where `after` cannot be recorded on, or
  // where another share was released after another stream. Blocks still live stay so, and are freed as any other.
  // With a stream of another pool, or one retired, it answers the error and is as the destructor.
  result<void> release(const stream& after) noexcept;
  result<void> release(raw_stream after) noexcept;

  // For lib/ alone.
  explicit graph_memory(std::shared_ptr<detail::pinned_memory>) noexcept;
  const std::shared_ptr<detail::pinned_memory>& shared() const noexcept { return memory_; }

 private:
  std::shared_ptr<detail::pinned_memory> memory_;
};

// Allocations on one stream come from a graph_memory while this lives; pool::capture() makes it. It may be ended by any
// thread. What it holds is a share: without another, taken by memory(), its end gives the memory back.
class WEIR_EXPORT capture_scope {
 public:
  capture_scope() noexcept = default;
  capture_scope(capture_scope&&) noexcept;
  capture_scope& operator=(capture_scope&&) noexcept;
  ~capture_scope();

  // A share of the memory behind it; empty once ended.
  graph_memory memory() const noexcept { return memory_; }
  // What the destructor does. Without effect the second time.
  void end() noexcept;

  // For lib/ alone.
  capture_scope(graph_memory, stream) noexcept;

 private:
  graph_memory memory_;
  stream on_;
};

}  // namespace weir
