// SPDX-License-Identifier: Apache-2.0
#include "replay_verify.hpp"

#include <algorithm>

namespace weir::cli {

replay_verify::replay_verify(block_verifier& verifier, replay_streams& streams, const replay_script& script,
                             bool knows_uses, std::uint64_t spoil_every)
    : verifier_(verifier),
      streams_(streams),
      stream_count_(script.stream_count),
      knows_uses_(knows_uses),
      spoil_every_(spoil_every),
      clocks_(script.stream_count * script.stream_count),
      slots_(script.slot_count) {}

result<void> replay_verify::order(std::size_t earlier, std::size_t later) {
  if (auto done = streams_.order(earlier, later); !done) return done;
  for (std::size_t i = 0; i < stream_count_; ++i) clock(later, i) = std::max(clock(later, i), clock(earlier, i));
  return {};
}

result<void> replay_verify::come_after(const access& earlier, std::uint16_t stream) {
  if (clock(stream, earlier.stream) >= earlier.tick) return {};
  ++orders_added_;
  return order(earlier.stream, stream);
}

result<void> replay_verify::filled(const replay_op& op, void* block) {
  slot_state& slot = slots_[op.slot];
  slot.id = next_id_++;
  slot.uses.clear();
  slot.fill = tick(op.stream);
  return verifier_.fill({block, op.bytes, slot.id}, streams_[op.stream], op.stream);
}

result<void> replay_verify::check(const replay_op& op, void* block) {
  const slot_state& slot = slots_[op.slot];
  if (auto done = come_after(slot.fill, op.stream); !done) return done;
  return verifier_.check({block, op.bytes, slot.id}, streams_[op.stream], op.stream);
}

result<void> replay_verify::used(const replay_op& op, void* block) {
  if (auto done = check(op, block); !done) return done;
  if (!knows_uses_) slots_[op.slot].uses.push_back(tick(op.stream));
  return {};
}

result<void> replay_verify::released(const replay_op& op, void* block) {
  for (const access& use : slots_[op.slot].uses)
    if (auto done = come_after(use, op.stream); !done) return done;
  const std::uint64_t id = slots_[op.slot].id;
  if (spoil_every_ > 0 && id % spoil_every_ == 0)
    if (auto done = verifier_.spoil({block, op.bytes, id}); !done) return done;
  return check(op, block);
}

}  // namespace weir::cli
