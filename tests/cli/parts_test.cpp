// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <string>

#include "json.hpp"
#include "log_histogram.hpp"
#include "units.hpp"

namespace weir::cli::test {

TEST_CASE("units: bytes, times, counts and shares read well") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1536) == "1.50 KiB");
  CHECK(human_bytes(UINT64_MAX) == "16.00 EiB");
  CHECK(human_ns(71) == "71 ns");
  CHECK(human_ns(1100) == "1.10 µs");
  CHECK(human_ns(25.2e6) == "25.2 ms");
  CHECK(human_ns(3.6e12) == "3600 s");
  CHECK(human_count(0) == "0");
  CHECK(human_count(999) == "999");
  CHECK(human_count(1000) == "1,000");
  CHECK(human_count(273730) == "273,730");
  CHECK(human_count(1234567) == "1,234,567");
  CHECK(human_share(0.9871) == "98.71 %");
}

TEST_CASE("units: numbers of bytes are understood, others refused") {
  CHECK(parse_bytes("4096") == 4096);
  CHECK(parse_bytes("512M") == std::uint64_t{512} << 20);
  CHECK(parse_bytes("80GiB") == std::uint64_t{80} << 30);
  CHECK(parse_bytes("1.5g") == std::uint64_t{3} << 29);
  CHECK(parse_bytes("2 KB") == 2048);
  CHECK(parse_bytes("0") == 0);
  CHECK(parse_bytes("9007199254740993") == 9007199254740993u);  // no double
  CHECK(parse_bytes("0.0009765625k") == 1);
  for (const char* text :
       {"", "-1", "x", "1x", "1KiBs", "0.3", "1.", "1e30", "99999999T", " 1", "nan", "inf", "0x10", "1e3"}) {
    INFO(text);
    CHECK_FALSE(parse_bytes(text).has_value());
  }
}

TEST_CASE("json: commas, nesting and escapes are right") {
  json out;
  out.begin_object().key("a").begin_array().value(1).value(true).value("x\"\\\n\x01").end_array();
  out.key("b").begin_object().end_object().member("c", 0.5).member("d", UINT64_MAX).member("e", std::nan(""));
  out.key("f").begin_array().begin_object().end_object().begin_object().end_object().end_array().end_object();
  CHECK(out.text() == R"({"a":[1,true,"x\"\\\n\u0001"],"b":{},"c":0.5,"d":18446744073709551615,"e":null,"f":[{},{}]})");
}

TEST_CASE("json: what is not UTF-8 is replaced") {
  const auto quoted = [](std::string_view text) { return json().value(text).text(); };
  CHECK(quoted("µs … 𝄞") == "\"µs … 𝄞\"");
  CHECK(quoted("a\xff"
               "b") ==
        "\"a\xef\xbf\xbd"
        "b\"");
  CHECK(quoted("\xc3") == "\"\xef\xbf\xbd\"");                                  // cut
  CHECK(quoted("\xc0\x80") == "\"\xef\xbf\xbd\xef\xbf\xbd\"");                  // overlong
  CHECK(quoted("\xed\xa0\x80") == "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");  // a surrogate
}

TEST_CASE("log histogram: exact for small numbers, within a thousandth for large ones") {
  log_histogram h;
  CHECK(h.percentile(0.5) == 0);
  for (std::uint64_t n = 1; n <= 1000; ++n) h.add(n);
  CHECK(h.percentile(0.5) == 500);
  CHECK(h.percentile(0.99) == 990);
  CHECK(h.percentile(1) == 1000);
  for (const std::uint64_t n : {std::uint64_t{2047}, std::uint64_t{2048}, std::uint64_t{123'456'789}, UINT64_MAX / 3}) {
    log_histogram one;
    one.add(n);
    one.add(UINT64_MAX);
    INFO(n);
    CHECK(one.percentile(0.5) >= n);
    CHECK(static_cast<double>(one.percentile(0.5)) <= static_cast<double>(n) * 1.001);
    CHECK(one.max() == UINT64_MAX);
  }
}

}  // namespace weir::cli::test
