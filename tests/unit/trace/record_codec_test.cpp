// SPDX-License-Identifier: Apache-2.0
#include "trace/record_codec.hpp"

#include <catch2/catch_test_macros.hpp>
#include <set>
#include <string>

#include "trace/varint.hpp"
#include "unit/trace/trace_helpers.hpp"

namespace weir::trace::test {

TEST_CASE("trace varint: every length goes there and back") {
  for (unsigned bits = 0; bits < 64; ++bits) {
    for (const std::uint64_t n :
         {std::uint64_t{1} << bits, (std::uint64_t{1} << bits) - 1, ~(std::uint64_t{1} << bits)}) {
      std::string bytes;
      put_varint(bytes, n);
      cursor from(bytes);
      std::uint64_t back = ~n;
      REQUIRE(from.varint(back));
      CHECK(back == n);
      CHECK(from.left() == 0);
      CHECK(unzigzag(zigzag(n)) == n);
    }
  }
}

TEST_CASE("trace varint: more than 64 bits and a cut number are refused") {
  std::uint64_t n = 0;
  CHECK_FALSE(cursor("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02").varint(n));
  CHECK_FALSE(cursor("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01").varint(n));
  CHECK_FALSE(cursor("\x80").varint(n));
  CHECK_FALSE(cursor("").varint(n));
  CHECK(cursor("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").varint(n));
  CHECK(n == UINT64_MAX);
}

TEST_CASE("trace records: every kind goes there and back, in chunks of any length") {
  std::set<record_kind> kinds;
  for (const record& r : every_kind()) kinds.insert(r.kind);
  REQUIRE(kinds.size() == record_kind_count);
  for (const std::size_t chunk_bytes : {1, 100, 1 << 18}) {
    for (const int compression : {0, 9}) {
      const std::string bytes = write_trace(every_kind(), {.compression = compression, .chunk_bytes = chunk_bytes});
      const reading got = read_trace(bytes);
      CHECK_FALSE(got.failure);
      CHECK(got.records == describe(every_kind()));
    }
  }
}

TEST_CASE("trace records: kinds of a later version are skipped and counted") {
  const std::string payload =
      raw_record(99, "whatever") + raw_record(6, std::string("\0\0\x05", 3)) + raw_record(1000, "");
  const reading got = read_trace(raw_header() + raw_chunk(payload) + raw_end(3));
  CHECK_FALSE(got.failure);
  CHECK(got.skipped == 2);
  CHECK(got.records == describe({{.kind = record_kind::allocate, .id = 0, .bytes = 5}}));
}

TEST_CASE("trace records: fields that a later version appends are ignored") {
  const std::string payload = raw_record(6, std::string("\0\0\x05more", 7)) + raw_record(6, std::string("\0\0\x06", 3));
  const reading got = read_trace(raw_header() + raw_chunk(payload) + raw_end(2));
  CHECK_FALSE(got.failure);
  CHECK(got.records.size() == 2);
}

TEST_CASE("trace records: chunks of a later version's types are skipped") {
  const std::string chunk = raw_chunk(raw_record(6, std::string("\0\0\x05", 3)));
  const reading got = read_trace(raw_header() + raw_chunk("what is this", 77) + chunk + raw_end(1));
  CHECK_FALSE(got.failure);
  CHECK(got.records.size() == 1);
}

TEST_CASE("trace records: a kind of memory this version does not know is other") {
  const std::string payload = raw_record(6, std::string("\x20\x63\0\x05", 4));
  const reading got = read_trace(raw_header() + raw_chunk(payload) + raw_end(1));
  CHECK(got.records == describe({{.kind = record_kind::allocate, .memory = memory_kind::other, .bytes = 5}}));
}

TEST_CASE("trace records: a malformed one is named with its place") {
  const auto failure = [](std::string_view record_bytes) {
    return failure_of(raw_header() +
                      raw_chunk(std::string(raw_record(6, std::string("\0\0\x05", 3))) + std::string(record_bytes)) +
                      raw_end(2));
  };
  const std::string place = "memory: byte 41: ";  // header 16, chunk header 20, the good record 5
  CHECK(failure(raw_record(0, "")) == place + "a record of kind 0");
  CHECK(failure("\x06") == place + "a record is cut");
  CHECK(failure("\x06\x7f") == place + "a record is longer than its chunk");
  CHECK(failure("\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") == place + "a record is longer than its chunk");
  CHECK(failure(raw_record(6, "")) == place + "a number is cut or passes 64 bits");
  CHECK(failure(raw_record(6, "\x80\x01")) == place + "flags of a later version");
  CHECK(failure(raw_record(9, std::string("\x10\0\0", 3))).starts_with(place + "flags of fields"));
  CHECK(failure(raw_record(6, std::string("\x10\x40\0\0", 4))) == place + "an alignment passes 2^63");
  CHECK(failure(raw_record(6, std::string("\x08\xff\xff\xff\xff\xff\x01\0\0", 9))).ends_with("passes 32 bits"));
  CHECK(failure(raw_record(13, std::string("\0\x03\0", 3))) == place + "an unknown phase of a mark");
  CHECK(failure(raw_record(18, std::string("\0\x7f", 2))) == place + "a text is longer than its record");
  CHECK(failure(raw_record(18, std::string("\0\xff\xff\xff\xff\x0f", 6))) ==
        place + "a text is longer than 65536 bytes");
}

TEST_CASE("trace records: what the format has no room for is refused by the writer") {
  const std::string long_text(text_bytes_max + 1, 'x');
  CHECK(unfit_for_trace({.kind = record_kind::comment, .text = long_text}) != nullptr);
  CHECK(unfit_for_trace({.kind = record_kind::allocate, .alignment = 3}) != nullptr);
  CHECK(unfit_for_trace({.kind = static_cast<record_kind>(0)}) != nullptr);
  CHECK(unfit_for_trace({.kind = static_cast<record_kind>(99)}) != nullptr);
  CHECK(unfit_for_trace({.kind = record_kind::allocate, .alignment = 1}) == nullptr);
}

}  // namespace weir::trace::test
