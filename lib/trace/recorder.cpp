// SPDX-License-Identifier: Apache-2.0
//
// What happens at addresses and on streams, as numbers that count up.
#include "weir/trace/recorder.hpp"

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <unistd.h>
#include <unordered_map>

namespace weir::trace {

namespace {

constexpr std::uint64_t flush_ns = 1'000'000'000;

std::uint32_t this_thread() noexcept {
  static std::atomic<std::uint32_t> next{0};
  static thread_local const std::uint32_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine;
}

memory_kind kind_of(allocation_kind kind) noexcept {
  return kind == allocation_kind::direct ? memory_kind::direct : memory_kind::pool;
}

bool is_direct(native_call call) noexcept {
  return call == native_call::direct_allocate || call == native_call::direct_deallocate;
}

}  // namespace

struct recorder::state {
  using clock = std::chrono::steady_clock;

  mutable std::mutex mutex;
  std::unique_ptr<trace::writer> out;  // null: not recording
  std::optional<file_error> failure;
  int process = 0;
  clock::time_point began;
  std::uint64_t flushed_ns = 0;
  std::uint64_t next_id = 0, next_native = 0;
  std::unordered_map<const void*, std::uint64_t> blocks, natives;
  std::unordered_map<std::uint64_t, std::uint32_t> streams;  // by weir's id; 0 is the recording's 0

  void forget() noexcept {
    failure.reset();
    flushed_ns = next_id = next_native = 0;
    blocks.clear();
    natives.clear();
    streams.clear();
  }

  std::uint64_t now_ns() const noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - began).count());
  }

  record make(record_kind kind, int device) const noexcept {
    return {.kind = kind, .thread = this_thread(), .device = static_cast<std::uint32_t>(device), .time_ns = now_ns()};
  }

  void keep(result<void, file_error> done) {
    if (!done && !failure) failure = std::move(done).error();
  }

  void write(const record& r) {
    if (failure) return;
    keep(out->write(r));
    if (r.time_ns < flushed_ns + flush_ns) return;
    flushed_ns = r.time_ns;
    keep(out->flush());
  }

  // Born where it is first met.
  std::uint32_t stream(std::uint64_t id, int device) {
    const auto [at, is_new] = streams.try_emplace(id, static_cast<std::uint32_t>(streams.size()));
    if (is_new) {
      const std::string name = "stream " + std::to_string(id);
      record r = make(record_kind::stream_birth, device);
      r.stream = at->second;
      r.text = name;
      write(r);
    }
    return at->second;
  }

  // Runs `act` where something is being recorded. Without host memory for it the trace ends there.
  template <class Act>
  void note(Act act) noexcept {
    const std::lock_guard lock(mutex);
    if (!out || failure) return;
    try {
      act();
    } catch (...) {
      failure.emplace();
      failure->kind = file_error_kind::io;
    }
  }
};

recorder::recorder() : state_(std::make_unique<state>()) {}
recorder::~recorder() { (void)end().has_value(); }

result<void, file_error> recorder::begin(const std::string& path, const writer_options& options) {
  const std::lock_guard lock(state_->mutex);
  if (state_->out) {
    return file_error{file_error_kind::io, path, position_unit::byte, 0, "another trace is being recorded"};
  }
  auto out = writer::create(path, options);
  if (!out) return std::move(out).error();
  state_->forget();
  state_->process = getpid();
  state_->began = state::clock::now();
  state_->out = std::make_unique<writer>(std::move(*out));
  return {};
}

result<void, file_error> recorder::end() noexcept {
  const std::lock_guard lock(state_->mutex);
  if (!state_->out) return {};
  std::unique_ptr<writer> out = std::move(state_->out);
  if (state_->process != getpid()) {
    (void)out.release();  // its end would write
    return {};
  }
  if (state_->failure) return *state_->failure;
  return out->finish();
}

bool recorder::is_recording() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->out != nullptr;
}

void recorder::on_allocate(const allocation_event& e) noexcept {
  state_->note([&] {
    const std::uint32_t stream = state_->stream(e.stream_id, e.device);
    record r = state_->make(record_kind::allocate, e.device);
    r.memory = kind_of(e.kind);
    r.stream = stream;
    r.id = state_->next_id++;
    r.bytes = e.bytes;
    r.alignment = e.alignment;
    state_->blocks[e.pointer] = r.id;
    state_->write(r);
  });
}

void recorder::on_deallocate(const allocation_event& e) noexcept {
  state_->note([&] {
    const auto block = state_->blocks.extract(e.pointer);
    if (!block) return;  // live before the trace began
    const std::uint32_t stream = state_->stream(e.stream_id, e.device);
    record r = state_->make(record_kind::deallocate, e.device);
    r.stream = stream;
    r.id = block.mapped();
    state_->write(r);
  });
}

void recorder::on_use(const use_event& e) noexcept {
  state_->note([&] {
    const auto block = state_->blocks.find(e.pointer);
    if (block == state_->blocks.end()) return;
    const std::uint32_t stream = state_->stream(e.stream_id, e.device);
    record r = state_->make(record_kind::use, e.device);
    r.stream = stream;
    r.id = block->second;
    state_->write(r);
  });
}

void recorder::on_failure(const error& why) noexcept {
  state_->note([&] {
    const std::uint32_t stream = state_->stream(0, 0);
    record r = state_->make(record_kind::failure, 0);
    r.stream = stream;
    r.bytes = why.bytes;
    r.reason = why.code == errc::out_of_memory ? failure_reason::out_of_memory : failure_reason::other;
    r.text = to_string(why.code);
    state_->write(r);
  });
}

void recorder::on_native(const native_event& e) noexcept {
  if (e.call == native_call::trim || is_direct(e.call)) return;  // a direct block is an allocation of its own
  state_->note([&] {
    record r = state_->make(record_kind::native_allocate, e.device);
    if (e.call == native_call::allocate) {
      r.stream = state_->stream(0, e.device);
      r.memory = memory_kind::native;
      r.id = state_->next_native++;
      r.bytes = e.bytes;
      state_->natives[e.pointer] = r.id;
    } else {
      const auto native = state_->natives.extract(e.pointer);
      if (!native) return;
      r.kind = record_kind::native_deallocate;
      r.id = native.mapped();
    }
    state_->write(r);
  });
}

}  // namespace weir::trace
