// SPDX-License-Identifier: Apache-2.0
//
// The input is a list of records with small numbers, observed by a validator and by a model of what live blocks are:
// what one counts the other does, slots are never shared, and a record that is refused changes nothing: a validator
// that is not shown it takes what the other takes.
#include <map>
#include <set>

#include "fuzz/fuzz_input.hpp"
#include "weir/trace/validator.hpp"

namespace weir::fuzz {

namespace {

using trace::observation;
using trace::record;
using trace::record_kind;

struct live_model {
  std::uint64_t bytes = 0, peak_bytes = 0;
  std::size_t peak_count = 0;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::size_t>> blocks;  // id to bytes and slot

  void add(const record& r, const observation& seen) {
    require(!blocks.contains(r.id), "a live id was allocated");
    require(bytes + r.bytes >= bytes, "the sum of live bytes wraps");
    for (const auto& [id, block] : blocks) require(block.second != seen.slot, "a slot of two blocks");
    blocks[r.id] = {r.bytes, seen.slot};
    bytes += r.bytes;
    peak_bytes = std::max(peak_bytes, bytes);
    peak_count = std::max(peak_count, blocks.size());
    require(seen.slot < peak_count, "a slot beyond the number of blocks");
  }
  void find(const record& r, const observation& seen, bool remove) {
    const auto at = blocks.find(r.id);
    const std::size_t slot = at == blocks.end() ? observation::no_slot : at->second.second;
    require(seen.slot == slot, "a slot that is not the block's");
    if (at == blocks.end()) return;
    require(seen.block.id == r.id && seen.block.bytes == at->second.first, "another block's numbers");
    if (!remove) return;
    bytes -= at->second.first;
    blocks.erase(at);
  }
};

// Few ids and streams, so that they meet; now and then a number near the top.
record next_record(fuzz_input& in) {
  const std::uint8_t kind = in.byte();
  const std::uint8_t id = in.byte();
  const std::uint8_t what = in.byte();
  record r{.kind = static_cast<record_kind>(kind % (trace::record_kind_count + 2)),
           .scope = static_cast<trace::sync_scope>(what % 3),
           .stream = static_cast<std::uint32_t>(what % 8),
           .id = id < 250 ? id % 32u : UINT64_MAX - id,
           .bytes = in.size(63),
           .site = what / 8 % 8 == 7 ? in.byte() : 0u,
           .parent = what % 4u,
           .count = what % 2u};
  if (what == 255) r.stream = UINT32_MAX;
  return r;
}

void check_counts(const trace::validator& v, const live_model& m) {
  require(v.live_bytes() == m.bytes && v.live_count() == m.blocks.size(), "live blocks are counted otherwise");
  require(v.peak_live_bytes() == m.peak_bytes && v.peak_live_count() == m.peak_count, "peaks are counted otherwise");
}

}  // namespace

}  // namespace weir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace weir::fuzz;
  fuzz_input in(data, bytes);
  weir::trace::validator validator, unshown;
  live_model model;
  std::uint64_t taken = 0;
  while (!in.is_empty()) {
    const record r = next_record(in);
    const auto seen = validator.observe(r);
    if (seen) {
      ++taken;
      require(unshown.observe(r).has_value(), "a refused record changed something");
      if (r.kind == record_kind::allocate || r.kind == record_kind::live) model.add(r, *seen);
      if (r.kind == record_kind::deallocate) model.find(r, *seen, true);
      if (r.kind == record_kind::use) model.find(r, *seen, false);
    } else {
      require(!seen.error().empty(), "a refusal without a reason");
      require(validator.observe(r).has_value() == false, "what was refused is taken the second time");
    }
    check_counts(validator, model);
    require(validator.records() == taken, "records are counted otherwise");
  }
  return 0;
}
