// SPDX-License-Identifier: Apache-2.0
//
// Whether the records of a trace, in their order, can have happened: no id freed that is not live, none allocated
// twice, no stream that was never born. It keeps the table of live blocks that everyone who walks a trace needs, and
// numbers them densely, so that a replayer keeps its pointers in an array.
//
//     validator check;
//     if (auto seen = check.observe(r); !seen) return trace->refuse(file_error_kind::invalid, seen.error());
//     else if (r.kind == record_kind::allocate) pointers[seen->slot] = pool.allocate(r.bytes, …);
//
// Bounded: at most live_blocks_max blocks (about 130 MiB) and as many native ones, 65,536 streams and 2^20 events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "weir/export.hpp"
#include "weir/result.hpp"
#include "weir/trace/record.hpp"

namespace weir::trace {

inline constexpr std::size_t live_blocks_max = std::size_t{1} << 21;

// A live block, or one that this record freed. `slot` is under the number of blocks live at once so far and is given
// again once its block is freed.
struct live_block {
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;
  std::uint64_t born = 0;  // how many allocate, live and deallocate records came before it
  std::uint32_t stream = 0;
  std::uint32_t device = 0;
};

struct observation {
  static constexpr std::size_t no_slot = SIZE_MAX;
  // For live, allocate, deallocate and use: the block's. no_slot for every other kind, and for a deallocate or use of a
  // block whose allocation may be among the events that the recorder lost.
  std::size_t slot = no_slot;
  live_block block{};
};

class WEIR_EXPORT validator {
 public:
  validator();
  validator(validator&&) noexcept;
  validator& operator=(validator&&) noexcept;
  ~validator();

  // The reason, as a sentence, where the record cannot follow those before it; it then changes nothing.
  result<observation, std::string> observe(const record&);

  std::uint64_t live_bytes() const noexcept;
  std::size_t live_count() const noexcept;
  // The largest sum of requested bytes live at once, and how many records (of observe) had been seen by then.
  std::uint64_t peak_live_bytes() const noexcept;
  std::uint64_t peak_record() const noexcept;
  std::size_t peak_live_count() const noexcept;  // the most blocks live at once, perhaps at another moment
  std::uint64_t records() const noexcept;
  // allocate, live and deallocate records seen: the clock of live_block::born.
  std::uint64_t operations() const noexcept;
  std::uint64_t native_bytes() const noexcept;
  std::uint64_t peak_native_bytes() const noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace weir::trace
