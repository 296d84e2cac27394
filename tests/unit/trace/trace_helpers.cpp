// SPDX-License-Identifier: Apache-2.0
#include "unit/trace/trace_helpers.hpp"

#include <catch2/catch_test_macros.hpp>
#include <span>
#include <sstream>
#include <zlib.h>

#include "trace/binary_form.hpp"
#include "trace/excerpt.hpp"
#include "trace/gzip.hpp"
#include "trace/varint.hpp"

namespace weir::trace::test {

std::string describe(const record& r) {
  std::ostringstream out;
  out << to_string(r.kind) << " memory " << to_string(r.memory) << " phase " << static_cast<int>(r.phase) << " scope "
      << static_cast<int>(r.scope) << " reason " << static_cast<int>(r.reason) << " quoted " << r.quoted << " stream "
      << r.stream << " thread " << r.thread << " device " << r.device << " id " << r.id << " bytes " << r.bytes
      << " alignment " << r.alignment << " time " << r.time_ns << " site " << r.site << " parent " << r.parent
      << " count " << r.count << " name " << escaped(r.name) << " text " << escaped(r.text);
  return out.str();
}

std::vector<std::string> describe(const std::vector<record>& records) {
  std::vector<std::string> all;
  for (const record& r : records) all.push_back(describe(r));
  return all;
}

std::string write_trace(const std::vector<record>& records, const writer_options& options) {
  std::ostringstream bytes;
  auto out = writer::create(bytes, "memory", options);
  REQUIRE(out.has_value());
  for (const record& r : records) REQUIRE(out->write(r).has_value());
  REQUIRE(out->finish().has_value());
  return bytes.str();
}

reading read_trace(std::string_view bytes) {
  reading got;
  auto in = reader::open(std::as_bytes(std::span(bytes)));
  if (!in) {
    got.failure = in.error();
    return got;
  }
  for (const fact& f : in->facts()) {
    got.records.push_back(describe({.kind = record_kind::fact, .quoted = f.quoted, .name = f.key, .text = f.value}));
  }
  record r;
  for (;;) {
    const auto more = in->next(r);
    if (!more) got.failure = more.error();
    if (!more || !*more) break;
    got.records.push_back(describe(r));
  }
  got.skipped = in->records_skipped();
  const auto again = in->next(r);
  if (again.has_value() == got.failure.has_value()) FAIL("a reader changed its mind");
  return got;
}

std::string failure_of(std::string_view bytes) {
  const reading got = read_trace(bytes);
  return got.failure ? got.failure->message() : "none";
}

conversion convert(std::string_view bytes, writer_options options) {
  auto in = reader::open(std::as_bytes(std::span(bytes)));
  REQUIRE(in.has_value());
  options.facts.assign(in->facts().begin(), in->facts().end());
  std::ostringstream converted;
  auto out = writer::create(converted, "memory", options);
  REQUIRE(out.has_value());
  record r;
  for (;;) {
    const auto more = in->next(r);
    if (!more) FAIL(more.error().message());
    if (!*more) break;
    if (!out->write(r)) FAIL("the writer refuses " << describe(r));
  }
  REQUIRE(out->finish().has_value());
  return {converted.str(), out->losses()};
}

std::string gzip(std::string_view bytes) {
  std::ostringstream packed;
  auto sink = make_gzip_sink(make_stream_sink(packed, "memory"), 6);
  REQUIRE(sink->write(bytes).has_value());
  REQUIRE(sink->close().has_value());
  return packed.str();
}

std::string raw_header(unsigned major) {
  std::string header(binary_magic);
  header.resize(file_header_bytes);
  store_u16(header.data() + 8, static_cast<std::uint16_t>(major));
  store_u32(header.data() + 12, crc32_of({header.data(), 12}));
  return header;
}

std::string raw_chunk(std::string_view payload, unsigned type) {
  std::string chunk(chunk_magic);
  chunk.resize(chunk_header_bytes);
  chunk[4] = static_cast<char>(type);
  store_u32(chunk.data() + 8, static_cast<std::uint32_t>(payload.size()));
  store_u32(chunk.data() + 12, static_cast<std::uint32_t>(payload.size()));
  store_u32(chunk.data() + 16, crc32_of({chunk.data() + 4, 12}, payload));
  return chunk + std::string(payload);
}

std::string raw_end(std::uint64_t records) {
  std::string marker;
  put_varint(marker, records);
  return raw_chunk(marker, 2);
}

std::string raw_record(std::uint64_t kind, std::string_view payload) {
  std::string out;
  put_varint(out, kind);
  put_varint(out, payload.size());
  return out + std::string(payload);
}

const std::vector<record>& every_kind() {
  using enum record_kind;
  constexpr std::uint64_t most = UINT64_MAX;
  static const std::vector<record> records = {
      {.kind = fact, .name = "workload", .text = "a demo"},
      {.kind = fact, .quoted = true, .name = "quoted", .text = "word"},
      {.kind = stream_birth, .stream = 3, .thread = 9, .device = 1, .time_ns = 5, .text = "0x1a97b8f0"},
      {.kind = site, .id = 1, .parent = 0, .text = "main at main.cpp:3"},
      {.kind = live, .memory = memory_kind::managed, .stream = 3, .id = 70, .bytes = 12, .alignment = 4096, .site = 1},
      {.kind = allocate,
       .memory = memory_kind::direct,
       .stream = 3,
       .thread = 2,
       .device = 7,
       .id = 7,
       .bytes = 1 << 20,
       .alignment = 1,
       .time_ns = 1'000'000,
       .site = 1},
      {.kind = allocate,
       .stream = UINT32_MAX,
       .thread = UINT32_MAX,
       .device = UINT32_MAX,
       .id = most,
       .bytes = most,
       .alignment = std::uint64_t{1} << 63,
       .time_ns = most,
       .site = most},
      {.kind = deallocate, .stream = 4, .id = most, .time_ns = 999, .site = 1},
      {.kind = reusable, .thread = 1, .id = 7, .time_ns = 1},
      {.kind = use, .stream = 5, .id = 70, .site = 1},
      {.kind = event, .stream = 5, .device = 1, .id = 40},
      {.kind = wait, .stream = 3, .device = 1, .id = 40},
      {.kind = synchronize, .scope = sync_scope::event, .id = 40},
      {.kind = synchronize, .scope = sync_scope::stream, .stream = 3},
      {.kind = synchronize, .scope = sync_scope::device, .device = 2},
      {.kind = mark, .phase = mark_phase::begin, .stream = 1, .site = 1, .text = "step 1\n\xff"},
      {.kind = mark, .phase = mark_phase::end},
      {.kind = failure,
       .memory = memory_kind::native,
       .reason = failure_reason::other,
       .stream = 2,
       .bytes = most,
       .alignment = 256,
       .site = 1,
       .text = "limit"},
      {.kind = native_allocate, .memory = memory_kind::host, .stream = 2, .id = 8, .bytes = 32 << 20, .site = 1},
      {.kind = native_deallocate, .device = 1, .id = 8},
      {.kind = stream_retirement, .stream = 3, .time_ns = 7},
      {.kind = lost, .thread = 3, .count = most},
      {.kind = comment, .text = " anything"},
      {.kind = fact, .name = "late", .text = ""},
  };
  return records;
}

}  // namespace weir::trace::test
