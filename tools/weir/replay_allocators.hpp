// SPDX-License-Identifier: Apache-2.0
//
// The three ways a replay serves an allocation. Each is a plain class of the same shape, given to the replay as a
// template argument: a virtual call would cost as much as some of what is measured.
//
//     result<void> open(const replay_request&);               // with the script's streams
//     void* allocate(const replay_op&) noexcept;             // null: failed, see failure(); also for zero bytes
//     void deallocate(void*, const replay_op&) noexcept;
//     void observe(const replay_op&, std::uint64_t ps);       // after each allocation, outside the measurement
//     void begin_pass();  void end_pass(replay_figures&);     // figures only the allocator knows
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "replay_device.hpp"
#include "replay_figures.hpp"
#include "replay_run.hpp"
#include "replay_script.hpp"
#include "replay_streams.hpp"
#include "weir/pool.hpp"

namespace weir::cli {

// What the three share: why the last allocation failed, and what they learn from the backend.
class replay_allocator {
 public:
  // Set by a failed allocation until it is taken.
  std::optional<error> take_failure() noexcept { return std::exchange(failure_, std::nullopt); }
  std::int64_t clock_adjustment_ns() const noexcept { return backend_->clock_adjustment_ns(); }
  bool is_modelled() const noexcept { return backend_->capabilities().costs_are_modelled; }
  stream_handle handle(std::size_t stream) const noexcept { return (*streams_)[stream]; }
  result<void> order(std::size_t earlier, std::size_t later) noexcept { return streams_->order(earlier, later); }
  result<void> synchronize() noexcept { return backend_->synchronize_device(); }
  result<void> reset_reserved_high() noexcept { return backend_->reset_reserved_high(); }
  result<std::size_t> reserved_high() noexcept;

 protected:
  void* fail(error why) noexcept {
    failure_ = std::move(why);
    return nullptr;
  }
  result<void> make_streams(backend&, std::size_t count);

  backend* backend_ = nullptr;
  std::optional<replay_streams> streams_;
  std::optional<error> failure_;
};

class weir_allocator : public replay_allocator {
 public:
  static constexpr const char* name = "weir";
  static constexpr bool is_all_direct = false;

  ~weir_allocator();
  result<void> open(const replay_request&);

  void* allocate(const replay_op& op) noexcept {
    auto block = op.is_direct ? pool_.try_allocate_direct(op.bytes)
                              : pool_.try_allocate(op.bytes, tokens_[op.stream], op.alignment());
    return block ? *block : fail(std::move(block).error());
  }
  void deallocate(void* block, const replay_op& op) noexcept {
    if (op.is_direct)
      pool_.deallocate_direct(block);
    else
      pool_.deallocate(block, tokens_[op.stream]);
  }
  result<void> record_use(void* block, std::size_t stream) noexcept { return pool_.record_use(block, tokens_[stream]); }
  void observe(const replay_op&, std::uint64_t) noexcept {}
  void begin_pass() { before_ = pool_.statistics(); }
  void end_pass(replay_figures&);

 private:
  pool pool_;
  std::vector<weir::stream> tokens_;
  statistics before_;
};

class native_allocator : public replay_allocator {
 public:
  static constexpr const char* name = "native";
  static constexpr bool is_all_direct = false;

  ~native_allocator() { streams_.reset(); }
  result<void> open(const replay_request&);

  void* allocate(const replay_op& op) noexcept {
    if (op.bytes == 0) return nullptr;
    auto block =
        op.is_direct ? owned_->allocate_direct(op.bytes) : owned_->allocate(aligned_bytes(op), (*streams_)[op.stream]);
    return block ? *block : fail(std::move(block).error());
  }
  void deallocate(void* block, const replay_op& op) noexcept {
    auto done = op.is_direct ? owned_->deallocate_direct(block) : owned_->deallocate(block, (*streams_)[op.stream]);
    if (!done) fail(std::move(done).error());
  }
  // A native block has no memory of its users, and nothing runs on them here.
  result<void> record_use(void*, std::size_t) noexcept { return {}; }
  void observe(const replay_op&, std::uint64_t ps);
  void begin_pass();
  void end_pass(replay_figures&);

 private:
  // The native pool aligns to its granularity; more is had by asking for more.
  std::size_t aligned_bytes(const replay_op& op) const noexcept {
    if (op.alignment() <= granularity_) return op.bytes;
    const std::size_t extra = op.alignment() - granularity_;
    return op.bytes > SIZE_MAX - extra ? SIZE_MAX : op.bytes + extra;
  }

  std::unique_ptr<backend> owned_;
  std::size_t granularity_ = 512;
  std::size_t reserved_ = 0;
  std::uint64_t grown_ = 0;
};

class direct_allocator : public replay_allocator {
 public:
  static constexpr const char* name = "direct";
  static constexpr bool is_all_direct = true;

  ~direct_allocator() { streams_.reset(); }
  result<void> open(const replay_request&);

  void* allocate(const replay_op& op) noexcept {
    if (op.bytes == 0) return nullptr;
    if (op.bytes > bytes_max_ - live_bytes_)
      return fail({.code = errc::out_of_memory, .bytes = op.bytes, .limit = bytes_max_ - live_bytes_});
    auto block = owned_->allocate_direct(op.bytes);
    if (!block) return fail(std::move(block).error());
    live_bytes_ += op.bytes;
    return *block;
  }
  void deallocate(void* block, const replay_op& op) noexcept {
    live_bytes_ -= op.bytes;
    if (auto done = owned_->deallocate_direct(block); !done) fail(std::move(done).error());
  }
  result<void> record_use(void*, std::size_t) noexcept { return {}; }
  void observe(const replay_op&, std::uint64_t) noexcept {}
  void begin_pass() noexcept {}
  void end_pass(replay_figures&) noexcept {}

 private:
  std::unique_ptr<backend> owned_;
  std::size_t bytes_max_ = 0;
  std::size_t live_bytes_ = 0;
};

}  // namespace weir::cli
