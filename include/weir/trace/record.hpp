// SPDX-License-Identifier: Apache-2.0
//
// One event of a trace, as readers give and writers take it. A trace holds no pointers and no type names: allocations,
// streams, threads, devices, events and native allocations are numbers that the recorder chose.
//
//     record r{.kind = record_kind::allocate, .stream = 1, .id = 7, .bytes = 4096};
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/export.hpp"

namespace weir::trace {

// The comment of each kind names the fields it uses besides the common ones: time_ns, thread and device, which all but
// fact, site and comment have. Values are those of the binary form and never change.
enum class record_kind : std::uint8_t {
  fact = 1,               // name, text, quoted: a key=value fact about the recording
  site = 2,               // id, parent, text: one frame of a call stack; ids are 1, 2, 3 …; parent 0 is the outermost
  stream_birth = 3,       // stream, text: how the recording names the stream
  stream_retirement = 4,  // stream
  live = 5,               // as allocate; was live when the recording began
  allocate = 6,           // id, bytes, stream, alignment, memory, site
  deallocate = 7,         // id, stream, site: free in stream order on that stream
  reusable = 8,           // id: the free of `id` took effect only now, because other streams used the block
  use = 9,                // id, stream, site: a second stream uses the block
  event = 10,             // id, stream: event `id` is recorded on the stream
  wait = 11,              // id, stream: work put on the stream from here on runs after what event `id` last recorded
  synchronize = 12,       // scope, and by scope stream or id: the host waited for a device, a stream or an event
  mark = 13,              // phase, text, stream, site: a label of the user's
  failure = 14,           // bytes, stream, alignment, memory, site, reason, text: an allocation that was refused
  native_allocate = 15,   // id, bytes, stream, memory, site: what the recorded allocator itself took from CUDA;
                          // these ids are a space of their own
  native_deallocate = 16,  // id
  lost = 17,               // count: events lost here because the recorder could not keep up
  comment = 18,            // text: what follows the # of a comment in the text form
};

// Where a block came from.
enum class memory_kind : std::uint8_t {
  pool = 0,     // the allocator that was recorded
  direct = 1,   // cudaMalloc
  native = 2,   // cudaMallocAsync or a native pool
  managed = 3,  // cudaMallocManaged
  host = 4,     // pinned host memory
  other = 5,    // and whatever later versions of the format add
};

enum class mark_phase : std::uint8_t { instant = 0, begin = 1, end = 2 };
enum class sync_scope : std::uint8_t { device = 0, stream = 1, event = 2 };
enum class failure_reason : std::uint8_t { out_of_memory = 0, other = 1 };

// The short name used in messages and by `weir inspect`, e.g. "native_allocate".
WEIR_EXPORT const char* to_string(record_kind) noexcept;
WEIR_EXPORT const char* to_string(memory_kind) noexcept;

inline constexpr int record_kind_count = 18;

// Fields that a kind does not use are zero. Text given by a reader is valid until the next record is read.
struct record {
  record_kind kind = record_kind::comment;
  memory_kind memory = memory_kind::pool;
  mark_phase phase = mark_phase::instant;
  sync_scope scope = sync_scope::device;
  failure_reason reason = failure_reason::out_of_memory;
  bool quoted = false;  // a fact whose text stands in quotes where the text form would not need them
  std::uint32_t stream = 0;
  std::uint32_t thread = 0;
  std::uint32_t device = 0;
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;
  std::uint64_t alignment = 0;  // a power of two, or 0: what the allocator does by itself
  std::uint64_t time_ns = 0;    // since the recording began; 0 throughout where times were not recorded
  std::uint64_t site = 0;       // innermost frame of the call stack; 0: not recorded
  std::uint64_t parent = 0;
  std::uint64_t count = 0;
  std::string_view name{};
  std::string_view text{};

  friend bool operator==(const record&, const record&) = default;
};

// The longest name or text a trace may hold.
inline constexpr std::size_t text_bytes_max = 65'536;

}  // namespace weir::trace
