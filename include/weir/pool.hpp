// SPDX-License-Identifier: Apache-2.0
//
// A stream-ordered allocator for one device.
//
//     weir::pool pool = weir::pool::make(0);
//     weir::stream stream = pool.stream(handle).value();
//     void* block = pool.allocate(bytes, stream);   // usable by work put on the stream from now on
//     kernel<<<grid, threads, 0, handle>>>(block);
//     pool.deallocate(block, stream);               // returns at once; reused in stream order
//
// Every member is thread-safe but the move operations and the destructor. Allocation and free are ordered on the
// stream given, as cudaMallocAsync and cudaFreeAsync are: a block freed on another stream than it was used on must have
// been ordered there by the caller (an event), or been announced by record_use().
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "weir/backend.hpp"
#include "weir/capture.hpp"
#include "weir/export.hpp"
#include "weir/pool_options.hpp"
#include "weir/result.hpp"
#include "weir/sharing.hpp"
#include "weir/statistics.hpp"
#include "weir/stream.hpp"

namespace weir {

namespace detail {
class pool_impl;
}

class WEIR_EXPORT pool {
 public:
  // The alignment of every block, and the least that may be asked for.
  static constexpr std::size_t alignment_default = 256;
  // The largest alignment there is: 1 GiB.
  static constexpr std::size_t alignment_max = std::size_t{1} << 30;

  // A pool on a CUDA device, or on a backend of your own (weir/sim.hpp). Throws what try_make answers: no such
  // device, no CUDA device, built without CUDA, options that contradict.
  static pool make(int device, pool_options = {});
  static pool make(std::unique_ptr<weir::backend>, pool_options = {});
  static result<pool> try_make(int device, pool_options = {}) noexcept;
  static result<pool> try_make(std::unique_ptr<weir::backend>, pool_options = {}) noexcept;

  // A null pool: every call answers errc::null_pool.
  pool() noexcept;
  pool(pool&&) noexcept;
  pool& operator=(pool&&) noexcept;
  // Waits for the device, reports blocks still live to the observer, and gives all memory back. Tokens and blocks of
  // the pool are dead afterwards. Makes no CUDA call when the runtime is unloading.
  ~pool();

  explicit operator bool() const noexcept { return impl_ != nullptr; }

  // A block of at least `bytes`, aligned to `alignment` (a power of two, 256 at least). Zero bytes: null, which may be
  // freed. allocate throws out_of_memory (with a report), cuda_error or logic_error; try_allocate answers.
  void* allocate(std::size_t bytes, const weir::stream&);
  void* allocate(std::size_t bytes, const weir::stream&, std::size_t alignment);
  void* allocate(std::size_t bytes, raw_stream, std::size_t alignment = alignment_default);
  result<void*> try_allocate(std::size_t bytes, const weir::stream&,
                             std::size_t alignment = alignment_default) noexcept;
  result<void*> try_allocate(std::size_t bytes, raw_stream, std::size_t alignment = alignment_default) noexcept;

  // Frees in stream order. With `bytes` (as requested) the size is checked against the block's class. What cannot be
  // freed (foreign pointer, double free, wrong size, retired stream) is told to the bug handler by deallocate, and
  // answered by try_deallocate; nothing is changed.
  void deallocate(void* pointer, const weir::stream&) noexcept;
  void deallocate(void* pointer, raw_stream) noexcept;
  void deallocate(void* pointer, std::size_t bytes, const weir::stream&) noexcept;
  void deallocate(void* pointer, std::size_t bytes, raw_stream) noexcept;
  result<void> try_deallocate(void* pointer, const weir::stream&) noexcept;
  result<void> try_deallocate(void* pointer, raw_stream) noexcept;
  result<void> try_deallocate(void* pointer, std::size_t bytes, const weir::stream&) noexcept;
  result<void> try_deallocate(void* pointer, std::size_t bytes, raw_stream) noexcept;

  // Outside the native pool (cudaMalloc), for what must not come from one: IPC, other libraries. Usable on every
  // stream at once. Freed by deallocate_direct, or by deallocate on a stream; both synchronise the device.
  void* allocate_direct(std::size_t bytes);
  result<void*> try_allocate_direct(std::size_t bytes) noexcept;
  void deallocate_direct(void* pointer) noexcept;
  result<void> try_deallocate_direct(void* pointer) noexcept;

  // A live block is also used on this stream: it will not be reused before the work that stream has when the block is
  // freed. (PyTorch's record_stream.)
  result<void> record_use(void* pointer, const weir::stream&) noexcept;
  result<void> record_use(void* pointer, raw_stream) noexcept;

  // A token for a stream of this device; the same stream gives the same token. Whoever takes a token promises to
  // retire() it before the stream is destroyed. errc::wrong_device, errc::stream_unsupported.
  result<weir::stream> stream(raw_stream) noexcept;
  // The stream that a handle means in this call, for who does not own it and can promise nothing: verified, and refused
  // while it is captured without a scope (errc::stream_capturing). Good for an allocation right after the call, and for
  // try_deallocate_late() at any time. weir does not touch the handle in between.
  result<weir::stream> identify(raw_stream) noexcept;
  // Frees in the order of a stream that may have been destroyed since: what it freed then waits for the device.
  result<void> try_deallocate_late(void* pointer, std::size_t bytes, const weir::stream&) noexcept;

  // Until the scope ends, allocations on this stream come from memory that a CUDA graph may keep: weir/capture.hpp.
  // With `memory`, from what other captures had; else from new. capture throws what try_capture answers:
  // errc::invalid_argument where a scope is open on the stream or the memory is another pool's.
  [[nodiscard]] capture_scope capture(const weir::stream&, const graph_memory& memory = {});
  [[nodiscard]] capture_scope capture(raw_stream, const graph_memory& memory = {});
  result<capture_scope> try_capture(const weir::stream&, const graph_memory& memory = {}) noexcept;
  result<capture_scope> try_capture(raw_stream, const graph_memory& memory = {}) noexcept;

  // Before destroying a stream: what it freed becomes available to others, threads' caches for it are emptied, the
  // handle is not touched again. Blocks still live stay so and are freed on other streams.
  result<void> retire(const weir::stream&) noexcept;
  result<void> retire(raw_stream) noexcept;

  // Gives native memory back to the driver until at most `bytes_to_keep` stay reserved; what is live stays, and what
  // waits for work that has not completed: the device is not waited for.
  // Without an argument: as the policies say.
  // A raw handle's stream may be looked at only in a call that names it: what it freed last is known complete by the
  // second form, else when it is next met.
  result<trim_report> trim(std::size_t bytes_to_keep) noexcept;
  result<trim_report> trim(std::size_t bytes_to_keep, raw_stream) noexcept;
  result<trim_report> trim() noexcept;
  // Waits for the device first, so that what was freed behind running work goes too, whoever's stream that is.
  result<trim_report> synchronize_and_trim(std::size_t bytes_to_keep) noexcept;
  // Brings free memory together: caches to heaps, passed tickets settled, empty slabs dissolved, wholly free regions
  // given back to the native pool. Live blocks never move.
  result<defragment_report> defragment() noexcept;

  // errc::limit_below_live when more than that is reserved for live blocks; then nothing changes.
  result<void> set_bytes_max(std::size_t bytes) noexcept;

  // From now on kernels and copies of `device` may use every block of this pool, those it gives later too, direct ones
  // included; for these the process's peer access between the two devices is turned on (cudaDeviceEnablePeerAccess).
  // Order is the program's: before the free an event of the other device's stream is waited for (record_use() takes
  // streams of the pool's own device).
  // errc::not_supported with the reason where the two devices cannot reach each other, errc::no_such_device.
  result<void> allow_peer(int device) noexcept;
  // For another process (weir/sharing.hpp): the pool, once, and a live block, by where it begins. Of a pool made with
  // `handle_types`; 0 means the first of them. errc::not_supported with the reason (no such pool, a direct block, the
  // platform), errc::foreign_pointer.
  result<exported_pool> export_pool(unsigned handle_type = 0) noexcept;
  result<exported_block> export_block(const void* pointer) noexcept;

  weir::statistics statistics() const;
  // Calls `visit` for every block and free range, in no order, holding locks: visit must not call the pool.
  void walk(const std::function<void(const block_info&)>& visit) const;
  // Every invariant that can be checked from outside the hot path; a list of what is broken, empty when sound.
  std::vector<std::string> validate() const;

  int device() const noexcept;                   // ordinal; -1 for a null pool
  const pool_options& options() const noexcept;  // precondition: not null
  // The backend under it, to look at. Precondition: not null.
  weir::backend& backend() const noexcept;

 private:
  explicit pool(std::unique_ptr<detail::pool_impl>) noexcept;
  std::unique_ptr<detail::pool_impl> impl_;
};

}  // namespace weir
