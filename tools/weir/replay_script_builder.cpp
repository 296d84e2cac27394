// SPDX-License-Identifier: Apache-2.0
#include "replay_script_builder.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <utility>

namespace weir::cli {

using trace::record;
using trace::record_kind;

namespace {

// Three years.
constexpr double duration_ns_max = 1e17;

// A recording says how long it took by a fact: PyTorch's in microseconds of its own clock, others in seconds.
struct duration_fact {
  const char* key;
  double ns_per_unit;
};
constexpr std::array duration_facts{duration_fact{"trace_us", 1e3}, duration_fact{"wall_s", 1e9}};

std::uint64_t told_duration_ns(const trace::reader& in) {
  for (const duration_fact& fact : duration_facts) {
    const auto text = in.find_fact(fact.key);
    double units = 0;
    if (!text || std::from_chars(text->data(), text->data() + text->size(), units).ec != std::errc{}) continue;
    const double ns = units * fact.ns_per_unit;
    if (ns >= 1 && ns < duration_ns_max) return static_cast<std::uint64_t>(ns);
  }
  return 0;
}

}  // namespace

replay_script_builder::refusal replay_script_builder::add(const record& r, const trace::observation& seen) {
  if (script_.ops.size() == op_count_max) return "more than 2^28 operations cannot be replayed";
  if (r.time_ns > 0) {
    if (first_ns_ == 0) first_ns_ = r.time_ns;
    script_.recorded_ns = std::max(script_.recorded_ns, r.time_ns - std::min(r.time_ns, first_ns_));
  }
  thread_ = r.thread;
  switch (r.kind) {
    case record_kind::live:
    case record_kind::allocate: return allocate(r, seen);
    case record_kind::deallocate: return refer(replay_kind::deallocate, r, seen);
    case record_kind::use: return refer(replay_kind::record_use, r, seen);
    case record_kind::event: event_streams_[r.id] = r.stream; return std::nullopt;
    case record_kind::wait: return wait(r);
    default: return std::nullopt;
  }
}

replay_script replay_script_builder::finish(const trace::reader& in) && {
  if (script_.recorded_ns == 0) script_.recorded_ns = told_duration_ns(in);
  std::vector<block> live;
  for (const block& b : blocks_)
    if (b.is_live && !b.is_skipped) live.push_back(b);
  std::sort(live.begin(), live.end(), [](const block& a, const block& b) { return a.born < b.born; });
  for (const block& b : live) script_.left_over.push_back(b.release);
  script_.slot_count = blocks_.size();
  script_.stream_count = streams_.size();
  script_.thread_count = std::min(threads_.size(), thread_count_max);
  return std::move(script_);
}

replay_script_builder::refusal replay_script_builder::number_stream(std::uint32_t stream, std::uint16_t& number) {
  const auto [at, is_new] = streams_.try_emplace(stream, static_cast<std::uint16_t>(streams_.size()));
  if (is_new && streams_.size() > stream_count_max)
    return "more than " + std::to_string(stream_count_max) + " streams cannot be replayed";
  number = at->second;
  return std::nullopt;
}

void replay_script_builder::push(const replay_op& op) {
  if (script_.turns.empty() || thread_ != turn_thread_) {
    const auto number = threads_.try_emplace(thread_, static_cast<std::uint32_t>(threads_.size())).first->second;
    script_.turns.push_back({script_.ops.size(), number % static_cast<std::uint32_t>(thread_count_max)});
    turn_thread_ = thread_;
  }
  script_.ops.push_back(op);
  if (op.kind == replay_kind::allocate) {
    live_bytes_ += op.bytes;
    script_.peak_live_bytes = std::max<std::size_t>(script_.peak_live_bytes, live_bytes_);
  }
  if (op.kind == replay_kind::deallocate) live_bytes_ -= op.bytes;
  if (op.kind == replay_kind::allocate || op.kind == replay_kind::deallocate) ++script_.operations;
}

replay_script_builder::refusal replay_script_builder::allocate(const record& r, const trace::observation& seen) {
  if (seen.slot >= blocks_.size()) blocks_.resize(seen.slot + 1);
  block& b = blocks_[seen.slot];
  replay_op op{.bytes = r.bytes, .slot = static_cast<std::uint32_t>(seen.slot), .kind = replay_kind::allocate};
  if (auto why = number_stream(r.stream, op.stream)) return why;
  op.alignment_log2 = static_cast<std::uint8_t>(std::countr_zero(std::max<std::uint64_t>(r.alignment, 256))) & 0x7f;
  op.is_direct = r.memory == trace::memory_kind::direct;
  b = {.release = op, .born = seen.block.born, .is_live = true, .is_skipped = r.memory > trace::memory_kind::native};
  b.release.kind = replay_kind::deallocate;
  if (b.is_skipped)
    ++script_.skipped_blocks;
  else
    push(op);
  return std::nullopt;
}

replay_script_builder::refusal replay_script_builder::refer(replay_kind kind, const record& r,
                                                            const trace::observation& seen) {
  if (seen.slot == trace::observation::no_slot) return std::nullopt;
  block& b = blocks_[seen.slot];
  replay_op op = b.release;
  op.kind = kind;
  if (auto why = number_stream(r.stream, op.stream)) return why;
  if (kind == replay_kind::deallocate) b.is_live = false;
  if (!b.is_skipped) push(op);
  return std::nullopt;
}

replay_script_builder::refusal replay_script_builder::wait(const record& r) {
  const auto event = event_streams_.find(r.id);
  if (event == event_streams_.end()) return std::nullopt;  // never recorded, or lost: nothing to wait for
  replay_op op{.kind = replay_kind::wait};
  std::uint16_t earlier = 0;
  if (auto why = number_stream(event->second, earlier)) return why;
  if (auto why = number_stream(r.stream, op.stream)) return why;
  op.slot = earlier;
  push(op);
  return std::nullopt;
}

}  // namespace weir::cli
