// SPDX-License-Identifier: Apache-2.0
//
// Records as bytes. A record is its kind, the length of its payload and the payload, so that a reader skips kinds it
// does not know and ignores fields that a later version appends. Numbers are coded against the record before, in a
// context that starts anew in each chunk: any whole chunk can be read without the others.
#pragma once

#include <cstdint>
#include <string>

#include "trace/varint.hpp"
#include "weir/trace/record.hpp"

namespace weir::trace {

// What the next record is coded against.
struct codec_context {
  std::uint64_t next_id = 0;      // one more than the last allocation's id
  std::uint64_t next_event = 0;   // one more than the last recorded event's
  std::uint64_t next_native = 0;  // one more than the last native allocation's
  std::uint64_t time_ns = 0;
  std::uint32_t thread = 0;
  std::uint32_t device = 0;
  std::uint32_t stream = 0;
};

// Null, or why the format has no room for the record.
const char* unfit_for_trace(const record&) noexcept;

// Appends the record. Precondition: !unfit_for_trace(r).
void encode_record(const record& r, codec_context&, std::string& out);

enum class decoded { record, skipped, malformed };
// Reads one record; text points into the cursor's bytes. On malformed `why` says what is wrong.
decoded decode_record(cursor&, codec_context&, record&, const char*& why);

}  // namespace weir::trace
