// SPDX-License-Identifier: Apache-2.0
//
// A trace made ready to be replayed. The first byte says whether the rest is a trace, or records that one is written
// of. Whatever the trace says, a replay can do what comes out of it without looking: every slot, stream and thread is
// one of those it was told of, a slot is allocated when it is free and freed when it is live, and what is left is freed
// last.
#include <map>
#include <span>
#include <sstream>

#include "fuzz/fuzz_input.hpp"
#include "replay_script_builder.hpp"
#include "weir/trace/writer.hpp"

namespace weir::fuzz {

namespace {

using cli::replay_kind;
using cli::replay_op;
using cli::replay_script;
using trace::record;
using trace::record_kind;

// Few ids, streams and threads, so that they meet. No facts, sites and comments, which are no part of a script.
record next_record(fuzz_input& in) {
  const std::uint8_t what = in.byte();
  const std::uint8_t id = in.byte();
  return {.kind = static_cast<record_kind>(3 + in.below(15)),
          .memory = static_cast<trace::memory_kind>(what >= 160 ? what / 32 - 4 : 0),
          .stream = what == 255 ? static_cast<std::uint32_t>(in.number(4)) : what % 8u,
          .thread = id / 64u,
          .id = id % 32u,
          .bytes = in.size(50),
          .alignment = what % 16 == 3 ? std::uint64_t{1} << in.below(64) : 0u,
          .time_ns = in.number(1) * 1000,
          .count = 1};
}

// What is refused is left out, so that a program of any length comes about.
std::string written(fuzz_input& in) {
  std::ostringstream bytes;
  auto out = trace::writer::create(bytes, "memory", {.facts = {{"wall_s", std::string(in.take(in.below(8))), true}}});
  require(out.has_value(), "a trace cannot be written");
  trace::validator check;
  while (!in.is_empty()) {
    const record r = next_record(in);
    if (check.observe(r)) require(out->write(r).has_value(), "a record that a validator takes cannot be written");
  }
  require(out->finish().has_value(), "a trace cannot be finished");
  return std::move(bytes).str();
}

struct expected {
  std::uint64_t live_bytes = 0, peak_bytes = 0, operations = 0;
  std::vector<bool> is_live;
  std::vector<std::uint64_t> bytes;
  std::vector<std::uint32_t> slots_by_age = {};

  void allocate(const replay_op& op) {
    require(!is_live[op.slot], "a slot in use is allocated");
    is_live[op.slot] = true;
    bytes[op.slot] = op.bytes;
    slots_by_age.push_back(op.slot);
    live_bytes += op.bytes;
    peak_bytes = std::max(peak_bytes, live_bytes);
    ++operations;
  }
  void deallocate(const replay_op& op) {
    require(is_live[op.slot] && bytes[op.slot] == op.bytes, "what is freed is not what was allocated");
    is_live[op.slot] = false;
    std::erase(slots_by_age, op.slot);
    live_bytes -= op.bytes;
    ++operations;
  }
};

void check_turns(const replay_script& s) {
  require(s.turns.empty() == s.ops.empty(), "operations of nobody");
  for (std::size_t i = 0; i < s.turns.size(); ++i) {
    require(s.turns[i].thread < s.thread_count, "a thread that is not counted");
    require(i == 0 ? s.turns[i].begin == 0 : s.turns[i - 1].begin < s.turns[i].begin, "turns out of order");
    require(s.turns[i].begin < s.ops.size(), "a turn without an operation");
  }
}

void check_script(const replay_script& s) {
  expected now{.is_live = std::vector<bool>(s.slot_count), .bytes = std::vector<std::uint64_t>(s.slot_count)};
  for (const replay_op& op : s.ops) {
    require(op.stream < s.stream_count, "a stream that is not counted");
    require(op.alignment_log2 >= 8 && op.alignment_log2 < 64, "an alignment that is none");
    require(op.slot < (op.kind == replay_kind::wait ? s.stream_count : s.slot_count), "a slot that is not counted");
    switch (op.kind) {
      case replay_kind::allocate: now.allocate(op); break;
      case replay_kind::deallocate: now.deallocate(op); break;
      case replay_kind::record_use: require(now.is_live[op.slot], "a use of what is not live"); break;
      case replay_kind::wait: break;
    }
  }
  require(now.operations == s.operations && now.peak_bytes == s.peak_live_bytes, "counted otherwise");
  require(s.left_over.size() == now.slots_by_age.size(), "what is left is not what is live");
  for (std::size_t i = 0; i < s.left_over.size(); ++i) {
    const replay_op& op = s.left_over[i];
    require(op.kind == replay_kind::deallocate && op.stream < s.stream_count, "what is left is not freed");
    require(op.slot == now.slots_by_age[i], "what is left is not freed in its order");
    require(now.bytes[op.slot] == op.bytes, "what is left is freed with another size");
  }
  check_turns(s);
}

// The waits that a trace asks for, by the streams' numbers there: each number of the script stands for one of them.
class waits {
 public:
  void see(const record& r) {
    if (r.kind == record_kind::event) events_[r.id] = r.stream;
    if (r.kind == record_kind::wait && events_.contains(r.id)) asked_.emplace_back(events_[r.id], r.stream);
  }
  void check(const replay_script& s) {
    std::size_t count = 0;
    for (const replay_op& op : s.ops) {
      if (op.kind != replay_kind::wait) continue;
      require(count < asked_.size(), "a wait that nobody asked for");
      const auto& [earlier, later] = asked_[count++];
      require(stands_for(op.slot, earlier) && stands_for(op.stream, later), "another stream waits or is waited for");
    }
    require(count == asked_.size(), "a wait is left out");
  }

 private:
  bool stands_for(std::uint32_t number, std::uint32_t stream) {
    return numbers_.try_emplace(number, stream).first->second == stream;
  }

  std::map<std::uint64_t, std::uint32_t> events_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> asked_;
  std::map<std::uint32_t, std::uint32_t> numbers_;
};

// What could not be read or replayed, in words.
std::string check_trace(std::string_view bytes) {
  auto in = trace::reader::open(std::as_bytes(std::span(bytes)));
  if (!in) return in.error().message();
  trace::validator check;
  cli::replay_script_builder builder("memory");
  waits asked;
  std::string failure;
  for (record r; failure.empty();) {
    const auto more = in->next(r);
    if (!more) failure = more.error().message();
    if (!more || !*more) break;
    const auto seen = check.observe(r);
    failure = seen ? builder.add(r, *seen).value_or("") : seen.error();
    if (failure.empty()) asked.see(r);
  }
  const replay_script script = std::move(builder).finish(*in);  // of what was read before a failure, too
  check_script(script);
  asked.check(script);
  return failure;
}

}  // namespace

}  // namespace weir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace weir::fuzz;
  fuzz_input in(data, bytes);
  if (in.flag())
    check_trace(in.rest());
  else if (const std::string failure = check_trace(written(in)); !failure.empty())
    fail("what was written cannot be replayed: " + failure);
  return 0;
}
