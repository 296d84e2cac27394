// SPDX-License-Identifier: Apache-2.0
#include "trace/text_form.hpp"

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <string>

#include "unit/trace/trace_helpers.hpp"

namespace weir::trace::test {

namespace {

std::string there_and_back(std::string_view text) {
  const conversion binary = convert(text, {});
  const conversion back = convert(binary.bytes, {.form = form::text});
  CHECK(back.losses.empty());
  return back.bytes;
}

const std::string sample =
    "# trace v1 workload=demo device=\"NVIDIA H200\" check=live=1,eq=2 empty= quoted=\"word\" odd=\"a \\\"b\\\" "
    "\\\\\"\n"
    "# streams 0=0x0 1=0x1a97b8f0\n"
    "# S 0 2097152 0\n"
    "a 0 524288 0\n"
    "# a comment, then an empty one\n"
    "#\n"
    "#no space\n"
    "# S-shaped, but a comment\n"
    "a 18446744073709551615 18446744073709551615 1\n"
    "f 0 1\n"
    "c 0\n"
    "# O 85899345920 0\n"
    "# s 0\n";

std::string failure_after_good_lines(const std::string& line) {
  return failure_of("# trace v1\na 1 2 3\n" + line + "\n");
}

}  // namespace

TEST_CASE("text trace: to binary and back it is the same, byte for byte") {
  CHECK(there_and_back(sample) == sample);
  CHECK(there_and_back("# trace v1\n") == "# trace v1\n");
}

TEST_CASE("text trace: gzip says the same") {
  const conversion packed = convert(sample, {.form = form::text, .gzip = true});
  CHECK(packed.bytes.starts_with("\x1f\x8b"));
  CHECK(convert(packed.bytes, {.form = form::text}).bytes == sample);
  CHECK(read_trace(gzip(sample.substr(0, 100)) + gzip(sample.substr(100))).records == read_trace(sample).records);
}

TEST_CASE("text trace: its records are what the lines say") {
  using enum record_kind;
  const std::vector<record> expected = {
      {.kind = fact, .name = "workload", .text = "demo"},
      {.kind = fact, .name = "device", .text = "NVIDIA H200"},
      {.kind = fact, .name = "check", .text = "live=1,eq=2"},
      {.kind = fact, .name = "empty", .text = ""},
      {.kind = fact, .quoted = true, .name = "quoted", .text = "word"},
      {.kind = fact, .name = "odd", .text = "a \"b\" \\"},
      {.kind = stream_birth, .stream = 0, .text = "0x0"},
      {.kind = stream_birth, .stream = 1, .text = "0x1a97b8f0"},
      {.kind = native_allocate, .id = 0, .bytes = 2097152},
      {.kind = allocate, .id = 0, .bytes = 524288},
      {.kind = comment, .text = " a comment, then an empty one"},
      {.kind = comment, .text = ""},
      {.kind = comment, .text = "no space"},
      {.kind = comment, .text = " S-shaped, but a comment"},
      {.kind = allocate, .stream = 1, .id = UINT64_MAX, .bytes = UINT64_MAX},
      {.kind = deallocate, .stream = 1, .id = 0},
      {.kind = reusable, .id = 0},
      {.kind = failure, .bytes = 85899345920},
      {.kind = native_deallocate, .id = 0},
  };
  CHECK(read_trace(sample).records == describe(expected));
}

TEST_CASE("text trace: a malformed line is named by its number") {
  const std::string place = "memory: line 3: ";
  CHECK(failure_after_good_lines("a 1 2") == place + "the stream is missing; expected \"a ID BYTES STREAM\"");
  CHECK(failure_after_good_lines("a") == place + "the id is missing; expected \"a ID BYTES STREAM\"");
  CHECK(
      failure_after_good_lines("a 1 -2 0").starts_with(place + "the number of bytes is no number of 64 bits: \"-2\""));
  CHECK(failure_after_good_lines("a 1 0x10 0").starts_with(place + "the number of bytes is no number"));
  CHECK(failure_after_good_lines("a 18446744073709551616 1 0").starts_with(place + "the id is no number of 64 bits"));
  CHECK(failure_after_good_lines("f 1 4294967296").starts_with(place + "the stream is no number of 32 bits"));
  CHECK(failure_after_good_lines("c 1 2").starts_with(place + "more than expected: \"2\""));
  CHECK(failure_after_good_lines("# S 1 x 0").starts_with(place + "the number of bytes is no number"));
  CHECK(failure_after_good_lines("# O 99999999999999999999 0").starts_with(place + "the number of bytes"));
  CHECK(failure_after_good_lines("# streams 0=0x0 x").starts_with(place + "a stream that is no NUMBER=NAME: \"x\""));
  CHECK(failure_after_good_lines("# trace v1 a=b").starts_with(place + "a second header"));
  CHECK(failure_after_good_lines("z\x01\x02").starts_with(place + "neither an event (a, f, c) nor a comment (#)"));
  CHECK(failure_after_good_lines("z\x01").ends_with("\"z\\x01\""));
  CHECK(failure_after_good_lines(std::string(70'000, '#')) == place + "a line of more than 65536 bytes");
}

TEST_CASE("text trace: a malformed header is refused") {
  CHECK(failure_of("# trace v1 word\n").starts_with("memory: line 1: a word that is no key=value: \"word\""));
  CHECK(failure_of("# trace v1 =x\n").find("no key=value") != std::string::npos);
  CHECK(failure_of("# trace v1 a=\"x\n").find("a quote does not end") != std::string::npos);
  CHECK(failure_of("# trace v1 a=\"x\"y\n").find("a quote ends inside a word") != std::string::npos);
  CHECK(failure_of("# trace v1 a=\"\\n\"\n").find("a backslash before neither") != std::string::npos);
  const reading later = read_trace("# trace v2 a=b\n");
  REQUIRE(later.failure);
  CHECK(later.failure->kind == file_error_kind::unsupported);
}

TEST_CASE("text trace: a cut last line is not taken for a whole one") {
  const reading got = read_trace("# trace v1\na 1 2 3\na 2 4096 1");
  REQUIRE(got.failure);
  CHECK(got.failure->kind == file_error_kind::truncated);
  CHECK(got.failure->message() == "memory: line 3: the last line has no newline: the file is cut");
  CHECK(got.records.size() == 1);
}

TEST_CASE("text trace: cut or damaged gzip gives what can be unpacked, and then where it stops") {
  std::string lines = "# trace v1\n";
  for (int i = 0; i < 20'000; ++i) lines += "a " + std::to_string(i * 7919) + " 512 0\n";
  const std::string packed = gzip(lines);
  const reading cut = read_trace(std::string_view(packed).substr(0, packed.size() / 2));
  REQUIRE(cut.failure);
  CHECK(cut.failure->kind == file_error_kind::truncated);
  CHECK(cut.failure->position == packed.size() / 2);
  CHECK(cut.records.size() > 1000);
  CHECK(failure_of(packed + "junk").ends_with("bytes after the end of the gzip data"));
  std::string damaged = packed;
  damaged[packed.size() - 5] = static_cast<char>(damaged[packed.size() - 5] ^ 1);  // of the checksum and length
  CHECK(failure_of(damaged).find("the gzip data is damaged") != std::string::npos);
}

TEST_CASE("text trace: line ends of another system and blank lines are read") {
  CHECK(read_trace("# trace v1\r\n\r\na 1 2 3\r\n\n").records ==
        describe({{.kind = record_kind::allocate, .stream = 3, .id = 1, .bytes = 2}}));
}

TEST_CASE("text trace: what text has no words for is counted, not invented") {
  std::map<std::string, std::uint64_t> losses;
  const conversion text = convert(write_trace(every_kind()), {.form = form::text});
  for (const loss& l : text.losses) losses[l.what] = l.count;
  CHECK(losses["allocations live at the start, written as plain allocations"] == 1);
  CHECK(losses["uses on second streams"] == 1);
  CHECK(losses["waits between streams"] == 1);
  CHECK(losses["synchronizations"] == 3);
  CHECK(losses["marks"] == 2);
  CHECK(losses["facts that no header can hold, or below the head"] == 1);
  CHECK(losses["stream retirements"] == 1);
  CHECK(losses["kinds of memory"] == 4);
  CHECK(losses["alignments"] == 4);
  CHECK(text.bytes.starts_with("# trace v1 workload=\"a demo\" quoted=\"word\"\n# streams 3=0x1a97b8f0\na 70 12 3\n"));
  CHECK_FALSE(read_trace(text.bytes).failure);
}

TEST_CASE("text trace: a comment that would read as an event is left out") {
  using enum record_kind;
  const std::vector<record> smuggled = {{.kind = comment, .text = " S 1 2 3"},
                                        {.kind = comment, .text = " trace v1 a=b"},
                                        {.kind = comment, .text = " x\na 1 2 3"},
                                        {.kind = comment, .text = " fine"}};
  const conversion text = convert(write_trace(smuggled), {.form = form::text});
  CHECK(text.bytes == "# trace v1\n# fine\n");
  REQUIRE(text.losses.size() == 1);
  CHECK(text.losses[0].count == 3);
}

TEST_CASE("text trace: facts that would break the header are left out") {
  for (const fact& f : {fact{"a b", "x"}, fact{"", "x"}, fact{"a=b", "x"}, fact{"a", "x\ny"}}) {
    const conversion text = convert(write_trace({}, {.facts = {f}}), {.form = form::text});
    CHECK(text.bytes == "# trace v1\n");
    CHECK(text.losses.size() == 1);
  }
}

TEST_CASE("text trace: more streams than fit one line go on several") {
  std::vector<record> births;
  for (std::uint32_t i = 0; i < 10'000; ++i)
    births.push_back({.kind = record_kind::stream_birth, .stream = i, .text = "0x1"});
  const conversion text = convert(write_trace(births), {.form = form::text});
  CHECK(read_trace(text.bytes).records == describe(births));
}

}  // namespace weir::trace::test
