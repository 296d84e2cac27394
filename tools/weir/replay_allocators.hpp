// SPDX-License-Identifier: Apache-2.0
//
// The ways a replay serves an allocation. Each is a plain class of the same shape, given to the replay as a
// template argument: a virtual call would cost as much as some of what is measured.
//
//     result<void> open(const replay_request&);               // with the script's streams
//     void* allocate(const replay_op&) noexcept;             // null: failed, see failure(); also for zero bytes
//     void deallocate(void*, const replay_op&) noexcept;
//     void observe(const replay_op&, std::uint64_t ps);       // after each allocation, outside the measurement
//     name();                                                 // what figures call it
//     static constexpr bool knows_uses;                       // record_use() is more than a word
//     void begin_pass();  void end_pass(replay_figures&);     // figures only the allocator knows
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "allocator_plugin.hpp"
#include "replay_device.hpp"
#include "replay_figures.hpp"
#include "replay_run.hpp"
#include "replay_script.hpp"
#include "replay_streams.hpp"
#include "timed_backend.hpp"
#include "weir/pool.hpp"

namespace weir::cli {

// Which of the trace's allocations go past the pool, and so are no part of what the pool has reserved.
enum class direct_use { none, some, all };  // some: those that the trace marks

// What all share: why the last allocation failed, and what they learn from the backend.
class replay_allocator {
 public:
  static constexpr bool knows_uses = false;
  // Set by a failed allocation until it is taken.
  std::optional<error> take_failure() noexcept { return std::exchange(failure_, std::nullopt); }
  std::int64_t clock_adjustment_ns() const noexcept { return backend_->clock_adjustment_ns(); }
  bool is_modelled() const noexcept { return backend_->capabilities().costs_are_modelled; }
  stream_handle handle(std::size_t stream) const noexcept { return (*streams_)[stream]; }
  result<void> order(std::size_t earlier, std::size_t later) noexcept { return streams_->order(earlier, later); }
  replay_streams& streams() noexcept { return *streams_; }
  result<void> synchronize() noexcept { return backend_->synchronize_device(); }
  result<void> reset_reserved_high() noexcept { return backend_->reset_reserved_high(); }
  // Nothing where a plugin does not tell.
  result<std::optional<std::size_t>> reserved_high() noexcept;

 protected:
  void* fail(error why) noexcept {
    failure_ = std::move(why);
    return nullptr;
  }
  result<void> make_streams(backend&, std::size_t count);
  // Of an allocator that aligns to less than is asked for: more is had by asking for more.
  static std::size_t bytes_to_align(const replay_op& op, std::size_t granularity) noexcept {
    if (op.alignment() <= granularity) return op.bytes;
    const std::size_t extra = op.alignment() - granularity;
    return op.bytes > SIZE_MAX - extra ? SIZE_MAX : op.bytes + extra;
  }

  backend* backend_ = nullptr;
  std::optional<replay_streams> streams_;
  std::optional<error> failure_;
};

class weir_allocator : public replay_allocator {
 public:
  static const char* name() noexcept { return "weir"; }
  static constexpr bool knows_uses = true;
  static constexpr direct_use direct_calls = direct_use::some;

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
  void begin_pass() {
    before_ = pool_.statistics();
    driver_before_ = driver_->read();
  }
  void end_pass(replay_figures&);

 private:
  std::shared_ptr<driver_times> driver_ = std::make_shared<driver_times>();
  driver_times::each driver_before_{};
  pool pool_;
  std::vector<weir::stream> tokens_;
  statistics before_;
};

class native_allocator : public replay_allocator {
 public:
  static const char* name() noexcept { return "native"; }
  static constexpr direct_use direct_calls = direct_use::some;

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
  // The native pool aligns to its granularity.
  std::size_t aligned_bytes(const replay_op& op) const noexcept { return bytes_to_align(op, granularity_); }

  std::unique_ptr<backend> owned_;
  std::size_t granularity_ = 512;
  std::size_t reserved_ = 0;
  std::uint64_t grown_ = 0;
};

class direct_allocator : public replay_allocator {
 public:
  static const char* name() noexcept { return "direct"; }
  static constexpr direct_use direct_calls = direct_use::all;

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

// Direct allocations go to the plugin too, and no limit binds it.
class plugin_allocator : public replay_allocator {
 public:
  static constexpr direct_use direct_calls = direct_use::none;

  explicit plugin_allocator(std::string path) : path_(std::move(path)) {}
  ~plugin_allocator();
  const std::string& name() const noexcept { return plugin_->name(); }
  // Throws bad_input, as allocator_plugin does.
  result<void> open(const replay_request&);

  void* allocate(const replay_op& op) noexcept {
    if (op.bytes == 0) return nullptr;
    void* block = nullptr;
    const int answer = calls_.allocate(calls_.context, bytes_to_align(op, alignment), (*streams_)[op.stream], &block);
    return answer == 0 ? block : fail(why(answer, op.bytes));
  }
  void deallocate(void* block, const replay_op& op) noexcept {
    const std::size_t bytes = bytes_to_align(op, alignment);
    if (const int answer = calls_.deallocate(calls_.context, block, bytes, (*streams_)[op.stream]))
      fail(why(answer, op.bytes));
  }
  // As of a native block.
  result<void> record_use(void*, std::size_t) noexcept { return {}; }
  result<void> reset_reserved_high() noexcept;
  result<std::optional<std::size_t>> reserved_high() noexcept;
  void observe(const replay_op&, std::uint64_t) noexcept {}
  void begin_pass() noexcept {}
  void end_pass(replay_figures&) noexcept;

 private:
  static constexpr std::size_t alignment = 256;
  static error why(int answer, std::size_t bytes) noexcept;

  std::string path_;
  std::unique_ptr<backend> owned_;
  std::optional<allocator_plugin> plugin_;
  weir_plugin calls_{};  // the plugin's, without a way to them
};

}  // namespace weir::cli
