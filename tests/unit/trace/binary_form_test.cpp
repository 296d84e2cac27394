// SPDX-License-Identifier: Apache-2.0
#include "trace/binary_form.hpp"

#include <catch2/catch_test_macros.hpp>
#include <cctype>
#include <fstream>
#include <sstream>
#include <string>

#include "trace/gzip.hpp"
#include "unit/trace/trace_helpers.hpp"

namespace weir::trace::test {

namespace {

// A chunk header that says what it is told, around a payload as it is.
std::string chunk_claiming(std::uint32_t stored, std::uint32_t raw, unsigned encoding, std::string_view payload) {
  std::string chunk = raw_chunk(payload);
  chunk[5] = static_cast<char>(encoding);
  store_u32(chunk.data() + 8, stored);
  store_u32(chunk.data() + 12, raw);
  store_u32(chunk.data() + 16, crc32_of(std::string_view(chunk).substr(4, 12), payload));
  return chunk;
}

}  // namespace

TEST_CASE("binary trace: cut at any byte, it gives the whole chunks before and says that it is cut") {
  const std::string whole = write_trace(every_kind(), {.chunk_bytes = 64});
  const std::vector<std::string> records = describe(every_kind());
  std::size_t most = 0;
  for (std::size_t length = 1; length < whole.size(); ++length) {
    const reading got = read_trace(std::string_view(whole).substr(0, length));
    INFO("cut at byte " << length);
    REQUIRE(got.failure);
    REQUIRE(got.failure->kind == file_error_kind::truncated);
    REQUIRE(got.failure->position <= length);
    REQUIRE(got.records.size() <= records.size());
    REQUIRE(std::equal(got.records.begin(), got.records.end(), records.begin()));
    REQUIRE(got.records.size() >= most);
    most = got.records.size();
  }
  CHECK(most == records.size());
}

TEST_CASE("binary trace: any flipped bit is noticed") {
  const std::string whole = write_trace(every_kind(), {.chunk_bytes = 64});
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    INFO("bit " << bit % 8 << " of byte " << bit / 8);
    REQUIRE(read_trace(damaged).failure);
  }
}

TEST_CASE("binary trace: a damaged chunk is named by its place") {
  std::string damaged = write_trace(every_kind());
  damaged[60] = static_cast<char>(damaged[60] ^ 1);
  CHECK(failure_of(damaged) == "memory: byte 16: the checksum of this chunk does not match");
}

TEST_CASE("binary trace: lengths beyond the limits are refused before memory is taken for them") {
  const std::string head = raw_header();
  CHECK(failure_of(head + chunk_claiming(5, 0xffffffff, 1, "short")) ==
        "memory: byte 16: a chunk claims to unpack to more than 1 MiB");
  CHECK(failure_of(head + chunk_claiming(0xfffffff0, 5, 1, "short")) ==
        "memory: byte 16: a chunk claims more than 1 MiB");
  CHECK(failure_of(head + chunk_claiming(5, 6, 0, "short")) == "memory: byte 16: a stored chunk of two lengths");
  CHECK(failure_of(head + chunk_claiming(5, 5, 9, "short")) == "memory: byte 16: a chunk of unknown encoding");
  CHECK(failure_of(head + chunk_claiming(5, 5, 1, "short")) ==
        "memory: byte 16: a chunk does not unpack to the length it claims");
}

TEST_CASE("binary trace: a chunk that unpacks to more than it claims is refused") {
  const std::string packed = deflate_chunk(std::string(1 << 20, 'x'), 9);
  REQUIRE(packed.size() < 2000);
  const auto stored = static_cast<std::uint32_t>(packed.size());
  CHECK(failure_of(raw_header() + chunk_claiming(stored, 1000, 1, packed)).ends_with("the length it claims"));
  CHECK(failure_of(raw_header() + chunk_claiming(stored, 1 << 20, 1, packed)).ends_with("of this chunk, unpacked)"));
}

TEST_CASE("binary trace: a missing chunk and bytes after the end are noticed") {
  const std::string chunk = raw_chunk(raw_record(6, std::string("\0\0\x05", 3)));
  CHECK(failure_of(raw_header() + chunk + raw_end(1)) == "none");
  CHECK(failure_of(raw_header() + chunk + raw_end(2)).ends_with("the end marker counts 2 records, the file holds 1"));
  CHECK(failure_of(raw_header() + chunk + raw_end(1) + "x") == "memory: byte 62: bytes after the end marker");
  CHECK(failure_of(raw_header() + chunk + raw_chunk("", 2)).ends_with("the end marker is damaged"));
  CHECK(failure_of(raw_header() + chunk + "no chunk, but twenty bytes") == "memory: byte 41: no chunk begins here");
}

TEST_CASE("binary trace: another version is refused by number") {
  CHECK(failure_of(raw_header(2)) == "memory: byte 8: the format's version is 2, this reads 1");
}

TEST_CASE("binary trace: neither form is refused") {
  CHECK(failure_of("") == "memory: byte 0: no trace: the file is empty");
  CHECK(failure_of("\x7f"
                   "ELF\x02")
            .find("no trace: it begins with \"\\x7fELF\\x02\"") != std::string::npos);
  CHECK(failure_of("alloc 1 2 3\n").find("no trace") != std::string::npos);
  CHECK(failure_of("# only a comment\n") == "memory: line 1: no trace: the file holds neither a header nor an event");
  CHECK(failure_of(gzip("")) == "memory: byte 0: no trace: the file is empty");
}

TEST_CASE("binary trace: an empty one has no records") {
  const reading got = read_trace(write_trace({}));
  CHECK_FALSE(got.failure);
  CHECK(got.records.empty());
}

TEST_CASE("binary trace: in gzip it is read too") {
  CHECK(read_trace(gzip(write_trace(every_kind()))).records == describe(every_kind()));
}

TEST_CASE("binary trace: what was flushed is readable when the writer dies") {
  std::ostringstream bytes;
  auto out = writer::create(bytes, "memory");
  REQUIRE(out.has_value());
  REQUIRE(out->write({.kind = record_kind::allocate, .id = 1, .bytes = 2}).has_value());
  REQUIRE(out->flush().has_value());
  REQUIRE(out->write({.kind = record_kind::allocate, .id = 2, .bytes = 2}).has_value());
  const reading got = read_trace(bytes.str());
  CHECK(got.records.size() == 1);
  REQUIRE(got.failure);
  CHECK(got.failure->message() == "memory: byte 41: the file is cut: there is no end marker");
}

// A change here is a new version of the format, or a mistake.
TEST_CASE("binary trace: its bytes are those of the example in docs/trace-format.md") {
  std::ifstream in(WEIR_SOURCE_DIR "/docs/trace-format.md");
  std::string bytes;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("    ") || line.size() < 6 || !std::isxdigit(static_cast<unsigned char>(line[4]))) continue;
    std::istringstream words(line.substr(4, 48));
    for (std::string word; words >> word && word.size() == 2;) bytes += static_cast<char>(std::stoi(word, nullptr, 16));
  }
  const std::vector<record> records = {
      {.kind = record_kind::stream_birth, .stream = 1, .text = "0x10"},
      {.kind = record_kind::allocate, .stream = 1, .id = 0, .bytes = 4096, .time_ns = 100},
      {.kind = record_kind::deallocate, .stream = 1, .id = 0, .time_ns = 150},
  };
  CHECK((bytes == write_trace(records, {.compression = 0, .facts = {{"a", "b"}}})));
  CHECK(read_trace(bytes).records.size() == 4);
}

TEST_CASE("binary trace: facts at the head are known at once") {
  const std::string bytes = write_trace(every_kind(), {.facts = {{"first", "1"}}});
  auto in = reader::open(std::as_bytes(std::span(bytes)));
  REQUIRE(in.has_value());
  CHECK(in->facts().size() == 3);
  CHECK(in->find_fact("workload") == "a demo");
  CHECK_FALSE(in->find_fact("late"));
  CHECK(in->form() == form::binary);
  CHECK(in->bytes_total() == bytes.size());
}

TEST_CASE("binary trace: more facts than a reader holds are refused") {
  writer_options options;
  options.facts.assign(5000, {"key", "value"});
  CHECK(failure_of(write_trace({}, options)).find("more than 4096 facts") != std::string::npos);
}

TEST_CASE("binary trace: files are named in errors of the system") {
  const auto none = reader::open("/nonexistent/x.weir");
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().message() == "/nonexistent/x.weir: byte 0: cannot be opened: No such file or directory");
  const auto directory = reader::open("/");
  REQUIRE_FALSE(directory.has_value());
  CHECK(directory.error().kind == file_error_kind::io);
  const auto nowhere = writer::create("/nonexistent/x.weir");
  REQUIRE_FALSE(nowhere.has_value());
  CHECK(nowhere.error().message().find("cannot be created") != std::string::npos);
}

TEST_CASE("binary trace: a full disk is an error, and stays one") {
  if (!std::ifstream("/dev/full").good()) SKIP("there is no /dev/full");
  auto out = writer::create("/dev/full");
  REQUIRE(out.has_value());
  REQUIRE(out->write({.kind = record_kind::comment, .text = "x"}).has_value());
  CHECK_FALSE(out->flush().has_value());
  CHECK_FALSE(out->finish().has_value());
}

TEST_CASE("binary trace: writer options out of range are refused") {
  std::ostringstream bytes;
  CHECK_FALSE(writer::create(bytes, "memory", {.compression = 10}).has_value());
  CHECK_FALSE(writer::create(bytes, "memory", {.gzip = true}).has_value());
}

}  // namespace weir::trace::test
