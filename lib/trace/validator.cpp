// SPDX-License-Identifier: Apache-2.0
#include "weir/trace/validator.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "trace/live_table.hpp"

namespace weir::trace {

namespace {

constexpr std::size_t streams_max = 65'536;
constexpr std::size_t events_max = std::size_t{1} << 20;

using verdict = result<observation, std::string>;

std::string number(std::uint64_t n) { return std::to_string(n); }

// Blocks and the sum of their bytes, with its high mark.
struct ledger {
  live_table table;
  std::uint64_t bytes = 0;
  std::uint64_t peak_bytes = 0;

  // Whether `r` can be added; the reason if not.
  std::string refusal(const record& r, const char* what) const {
    if (table.find(r.id) != live_table::absent) return std::string(what) + " " + number(r.id) + " is live already";
    if (bytes + r.bytes < bytes) return "the sum of live bytes passes 2^64";
    if (table.count() == live_blocks_max) return "more than " + number(live_blocks_max) + " blocks live at once";
    return {};
  }
  observation add(const record& r, std::uint64_t now) {
    const live_block block{r.id, r.bytes, now, r.stream, r.device};
    bytes += r.bytes;
    peak_bytes = std::max(peak_bytes, bytes);
    return {table.insert(block), block};
  }
  observation at(std::size_t slot) const { return {slot, table[slot]}; }
  observation remove(std::size_t slot) {
    const observation seen = at(slot);
    bytes -= seen.block.bytes;
    table.erase(seen.block.id);
    return seen;
  }
};

}  // namespace

struct validator::state {
  ledger blocks;
  ledger natives;
  std::unordered_map<std::uint32_t, bool> streams;  // to whether it lives
  std::unordered_set<std::uint64_t> events;
  bool streams_declared = false;  // by a birth; until then a stream is known by being used
  bool any_lost = false;
  std::uint64_t sites = 0;
  std::uint64_t highest_id = 0;
  bool any_id = false;
  std::uint64_t records = 0;
  std::uint64_t operations = 0;
  std::uint64_t peak_record = 0;
  std::size_t peak_count = 0;

  verdict judge(const record& r);
  std::string stream_refusal(const record& r) const;
  verdict birth(const record& r);
  verdict retirement(const record& r);
  verdict allocation(const record& r);
  verdict deallocation(const record& r);
  verdict use(const record& r) const;
  verdict reusable(const record& r) const;
  verdict event(const record& r);
  verdict wait(const record& r) const;
  verdict native_allocation(const record& r);
  verdict native_deallocation(const record& r);
  verdict site(const record& r);
};

namespace {

// Whether the stream of the record is one that must exist. A mark or a wait for the whole device may name none.
bool needs_stream(const record& r) noexcept {
  switch (r.kind) {
    case record_kind::live:
    case record_kind::allocate:
    case record_kind::deallocate:
    case record_kind::use:
    case record_kind::event:
    case record_kind::wait:
    case record_kind::failure:
    case record_kind::native_allocate: return true;
    case record_kind::synchronize: return r.scope == sync_scope::stream;
    default: return false;
  }
}

}  // namespace

// Empty where the stream may be used: one that lives, or one met for the first time where the trace declares none.
std::string validator::state::stream_refusal(const record& r) const {
  if (!needs_stream(r)) return {};
  const auto found = streams.find(r.stream);
  if (found != streams.end()) {
    return found->second ? std::string() : "stream " + number(r.stream) + " was retired before";
  }
  if (streams_declared && !any_lost) return "stream " + number(r.stream) + " is none of the trace's streams";
  return streams.size() == streams_max ? "more than " + number(streams_max) + " streams" : std::string();
}

verdict validator::state::birth(const record& r) {
  const auto found = streams.find(r.stream);
  const bool known = found != streams.end();
  if (known && found->second && streams_declared) return "stream " + number(r.stream) + " is born while it lives";
  if (!known && streams.size() == streams_max) return "more than " + number(streams_max) + " streams";
  streams_declared = true;
  streams[r.stream] = true;
  return observation{};
}

verdict validator::state::retirement(const record& r) {
  const auto found = streams.find(r.stream);
  if (found == streams.end() && any_lost) return observation{};
  if (found == streams.end()) return "stream " + number(r.stream) + " is retired and was never born";
  if (!found->second) return "stream " + number(r.stream) + " is retired twice";
  found->second = false;
  return observation{};
}

verdict validator::state::allocation(const record& r) {
  if (auto why = blocks.refusal(r, "allocation"); !why.empty()) return why;
  const std::uint64_t peak = blocks.peak_bytes;
  const observation seen = blocks.add(r, operations++);
  if (blocks.peak_bytes > peak) peak_record = records + 1;
  peak_count = std::max(peak_count, blocks.table.count());
  highest_id = any_id ? std::max(highest_id, r.id) : r.id;
  any_id = true;
  return seen;
}

verdict validator::state::deallocation(const record& r) {
  const std::size_t slot = blocks.table.find(r.id);
  if (slot == live_table::absent && !any_lost) {
    return "allocation " + number(r.id) + " is freed and is not live: freed before, or never allocated";
  }
  ++operations;
  return slot == live_table::absent ? observation{} : blocks.remove(slot);
}

verdict validator::state::use(const record& r) const {
  const std::size_t slot = blocks.table.find(r.id);
  if (slot != live_table::absent) return blocks.at(slot);
  if (any_lost) return observation{};
  return "allocation " + number(r.id) + " is used and is not live";
}

// Freed ids are not kept, so this finds no more than an id that no allocation can have had.
verdict validator::state::reusable(const record& r) const {
  if (any_lost || (any_id && r.id <= highest_id)) return observation{};
  return "allocation " + number(r.id) + " becomes reusable and was never allocated";
}

verdict validator::state::event(const record& r) {
  if (events.size() == events_max && !events.contains(r.id)) return "more than " + number(events_max) + " events";
  events.insert(r.id);
  return observation{};
}

verdict validator::state::wait(const record& r) const {
  if (any_lost || events.contains(r.id)) return observation{};
  return "event " + number(r.id) + " is waited for and was never recorded";
}

verdict validator::state::native_allocation(const record& r) {
  if (auto why = natives.refusal(r, "native allocation"); !why.empty()) return why;
  natives.add(r, operations);
  return observation{};
}

verdict validator::state::native_deallocation(const record& r) {
  const std::size_t slot = natives.table.find(r.id);
  if (slot == live_table::absent && !any_lost) return "native allocation " + number(r.id) + " is freed and is not live";
  if (slot != live_table::absent) natives.remove(slot);
  return observation{};
}

verdict validator::state::site(const record& r) {
  if (r.id != sites + 1) return "call site " + number(r.id) + " comes after " + number(sites);
  if (r.parent >= r.id) return "call site " + number(r.id) + " has the later parent " + number(r.parent);
  ++sites;
  return observation{};
}

verdict validator::state::judge(const record& r) {
  if (r.site > sites && !any_lost) return "call site " + number(r.site) + " was never described";
  if (auto why = stream_refusal(r); !why.empty()) return why;
  switch (r.kind) {
    case record_kind::stream_birth: return birth(r);
    case record_kind::stream_retirement: return retirement(r);
    case record_kind::live:
    case record_kind::allocate: return allocation(r);
    case record_kind::deallocate: return deallocation(r);
    case record_kind::reusable: return reusable(r);
    case record_kind::use: return use(r);
    case record_kind::event: return event(r);
    case record_kind::wait: return wait(r);
    case record_kind::synchronize: return r.scope == sync_scope::event ? wait(r) : observation{};
    case record_kind::native_allocate: return native_allocation(r);
    case record_kind::native_deallocate: return native_deallocation(r);
    case record_kind::site: return site(r);
    case record_kind::lost: any_lost = any_lost || r.count != 0; return observation{};
    case record_kind::fact:
    case record_kind::mark:
    case record_kind::failure:
    case record_kind::comment: return observation{};
  }
  return std::string("a record of no known kind");
}

validator::validator() : state_(std::make_unique<state>()) {}
validator::validator(validator&&) noexcept = default;
validator& validator::operator=(validator&&) noexcept = default;
validator::~validator() = default;

verdict validator::observe(const record& r) {
  verdict seen = state_->judge(r);
  if (!seen) return seen;
  ++state_->records;
  if (needs_stream(r)) state_->streams.try_emplace(r.stream, true);
  return seen;
}

std::uint64_t validator::live_bytes() const noexcept { return state_->blocks.bytes; }
std::size_t validator::live_count() const noexcept { return state_->blocks.table.count(); }
std::uint64_t validator::peak_live_bytes() const noexcept { return state_->blocks.peak_bytes; }
std::uint64_t validator::peak_record() const noexcept { return state_->peak_record; }
std::size_t validator::peak_live_count() const noexcept { return state_->peak_count; }
std::uint64_t validator::records() const noexcept { return state_->records; }
std::uint64_t validator::operations() const noexcept { return state_->operations; }
std::uint64_t validator::native_bytes() const noexcept { return state_->natives.bytes; }
std::uint64_t validator::peak_native_bytes() const noexcept { return state_->natives.peak_bytes; }

}  // namespace weir::trace
