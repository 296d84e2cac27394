// SPDX-License-Identifier: Apache-2.0
#include "trace_maker.hpp"

#include <algorithm>
#include <string>

#include "exit_code.hpp"

namespace weir::cli {

using trace::record_kind;

void trace_maker::write(trace::record r) {
  r.time_ns = now_ns_;
  r.thread = thread_;
  if (auto done = out_.write(r); !done) throw bad_input(done.error().message());
}

void trace_maker::add_streams(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string name = "stream " + std::to_string(i);
    write({.kind = record_kind::stream_birth, .stream = i, .text = name});
  }
  streams_ = count;
  clocks_.assign(std::size_t{count} * count, 0);
}

trace_maker::block trace_maker::allocate(std::uint64_t bytes, std::uint32_t stream, std::uint64_t alignment) {
  const std::uint64_t id = next_id_++;
  write({.kind = record_kind::allocate, .stream = stream, .id = id, .bytes = bytes, .alignment = alignment});
  live_bytes_ += bytes;
  peak_live_bytes_ = std::max(peak_live_bytes_, live_bytes_);
  ++events_;
  return {id, bytes, stream, ++clock(stream, stream)};
}

// One event a stream, recorded anew: what it was recorded for before has been waited for.
void trace_maker::come_after(const block& b, std::uint32_t stream) {
  if (stream == b.stream || clock(stream, b.stream) >= b.tick) return;
  write({.kind = record_kind::event, .stream = b.stream, .id = b.stream});
  write({.kind = record_kind::wait, .stream = stream, .id = b.stream});
  for (std::size_t i = 0; i < streams_; ++i) clock(stream, i) = std::max(clock(stream, i), clock(b.stream, i));
}

void trace_maker::use(const block& b, std::uint32_t stream) {
  come_after(b, stream);
  write({.kind = record_kind::use, .stream = stream, .id = b.id});
  ++clock(stream, stream);
  ++events_;
}

void trace_maker::hand_over(block& b, std::uint32_t to) {
  come_after(b, to);
  b.stream = to;
  b.tick = ++clock(to, to);
}

void trace_maker::deallocate(const block& b, std::uint32_t stream) {
  come_after(b, stream);
  write({.kind = record_kind::deallocate, .stream = stream, .id = b.id});
  live_bytes_ -= b.bytes;
  ++events_;
}

}  // namespace weir::cli
