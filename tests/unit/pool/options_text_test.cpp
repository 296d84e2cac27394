// SPDX-License-Identifier: Apache-2.0
//
// A pool's options from text and to text; and what is refused, by key, value and what is accepted.
#include "weir/options_text.hpp"

#include <cstdlib>
#include <limits>
#include <string>

#include "pool/text_values.hpp"
#include "scene.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

void refuses(const std::string& text, const std::vector<std::string>& names) {
  INFO(text);
  const auto parsed = parse_pool_options(text);
  REQUIRE(why(parsed) == errc::invalid_argument);
  const std::string message = parsed.error().message();
  INFO(message);
  CHECK(message.find("accepted: ") != std::string::npos);
  for (const std::string& name : names) CHECK(message.find(name) != std::string::npos);
}

TEST_CASE("text: every option that has one is read") {
  const auto o = must(parse_pool_options(
      "bytes_max=8GiB, soft_bytes_max=6 GiB,trim=watermark(2GiB,4GiB)+decay(500ms),background=10ms,trust_handles=1,"
      "guard_capture=yes,checked=on,bypass=true,order.other_streams_passed=0,order.recycle=no,"
      "order.other_streams_wait=off,region_bytes=128MiB,region_bytes_min=16MiB,big_cache_share=0.5,big_cache_fit=0.25,"
      "cache_bytes_max=64MiB,"
      "slack=0.02,handle_types=9"));
  CHECK(o.bytes_max == 8 * GiB);
  CHECK(o.soft_bytes_max == 6 * GiB);
  CHECK(o.trim == std::vector{watermark(2 * GiB, 4 * GiB), decay(500ms)});
  CHECK(o.background == 10ms);
  CHECK(o.trust_handles);
  CHECK(o.guard_capture);
  CHECK(o.checked);
  CHECK(o.bypass);
  CHECK_FALSE(o.order.other_streams_passed);
  CHECK_FALSE(o.order.recycle);
  CHECK_FALSE(o.order.other_streams_wait);
  CHECK(o.region_bytes == 128 * MiB);
  CHECK(o.region_bytes_min == 16 * MiB);
  CHECK(o.big_cache_share == 0.5);
  CHECK(o.big_cache_fit == 0.25);
  CHECK(o.cache_bytes_max == 64 * MiB);
  CHECK(o.slack == 0.02);
  CHECK(o.handle_types == 9);
}

TEST_CASE("text: of options it is read back as the same options") {
  const std::string text =
      "bytes_max=8GiB,soft_bytes_max=6442450945,trim=retain+release_above(1GiB)+watermark(0,3KiB)+decay(1500us)+idle("
      "2min)"
      "+on_pressure(512MiB)+defragment_above(0.3),background=1s,trust_handles=1,guard_capture=1,checked=1,bypass=1,"
      "order.other_streams_passed=0,order.recycle=0,order.other_streams_wait=0,region_bytes=1GiB,region_bytes_min="
      "64MiB,big_cache_share=0.1,"
      "big_cache_fit=0.3333333333333333,cache_bytes_max=1000000,slack=1e-05,handle_types=1";
  const auto o = must(parse_pool_options(text));
  CHECK(to_text(o) == text);
  CHECK(to_text(must(parse_pool_options(to_text(o)))) == text);
  // From another beginning, too: what is as usual is said where the beginning is not.
  const pool_options usual;
  CHECK(to_text(usual).empty());
  CHECK(to_text(must(parse_pool_options(to_text(usual, o), o))).empty());
}

TEST_CASE("text: what it does not name stays, and an empty one names nothing") {
  const pool_options base{.bytes_max = 5 * GiB, .trim = {retain()}, .slack = 0.5};
  for (const char* nothing : {"", " ", " \n"}) CHECK(to_text(must(parse_pool_options(nothing, base)), base).empty());
  const auto o = must(parse_pool_options("slack=0", base));
  CHECK(o.bytes_max == 5 * GiB);
  CHECK(o.slack == 0);
}

TEST_CASE("text: bytes in every unit, exactly") {
  const auto is = [](const char* text, std::size_t bytes) {
    INFO(text);
    CHECK(detail::bytes_from(text) == bytes);
  };
  is("0", 0);
  is("4096", 4096);
  is("4096 B", 4096);
  is("3k", 3 * KiB);
  is("3 KB", 3 * KiB);
  is("3kib", 3 * KiB);
  is("1.5GiB", GiB + GiB / 2);
  is("1.25G", GiB + GiB / 4);
  is("0.0009765625KiB", 1);
  is("2TiB", 2048 * GiB);
  is("18446744073709551615", SIZE_MAX);
  is("16777215.5T", (std::size_t{16777215} << 40) + (std::size_t{1} << 39));
  for (const char* no : {"",
                         "B",
                         "KiB",
                         "-1",
                         "+1",
                         "1.",
                         ".5",
                         "1.5",
                         "0.3KiB",
                         "1 2",
                         "1e3",
                         "0x10",
                         "1PiB",
                         "1bib",
                         "1iB",
                         "KiB1",
                         "18446744073709551616",
                         "16777216T",
                         "16777215.9999999999T",
                         "1,5",
                         "none"}) {
    INFO(no);
    CHECK_FALSE(detail::bytes_from(no));
  }
  CHECK(detail::limit_from(" None ") == SIZE_MAX);
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, 1023 * KiB, 1024 * KiB, 3 * GiB, SIZE_MAX, SIZE_MAX - 1})
    CHECK(detail::limit_from(detail::text_of_limit(bytes)) == bytes);
}

TEST_CASE("text: times in every unit, exactly, and none without a unit") {
  const auto is = [](const char* text, std::chrono::nanoseconds time) {
    INFO(text);
    CHECK(detail::time_from(text) == time);
  };
  is("0", 0ns);
  is("0s", 0ns);
  is("7ns", 7ns);
  is("1.5us", 1500ns);
  is("1.5 \xC2\xB5s", 1500ns);
  is("10ms", 10ms);
  is("2S", 2s);
  is("0.5min", 30s);
  is("1h", 1h);
  for (const char* no : {"", "5", "-5ms", "1.5ns", "ms", "5m", "3 days", "9300000000s", "1e3ms"}) {
    INFO(no);
    CHECK_FALSE(detail::time_from(no));
  }
  for (const std::chrono::nanoseconds time :
       {std::chrono::nanoseconds(0), std::chrono::nanoseconds(999), 1ns * INT64_MAX})
    CHECK(detail::time_from(detail::text_of_time(time)) == time);
}

TEST_CASE("text: what is no option is refused by key, value and what is accepted") {
  refuses("bytes_mx=1GiB", {"\"bytes_mx\"", "bytes_max", "order.recycle"});
  refuses("bytes_max", {"\"bytes_max\"", "KEY=VALUE"});
  refuses("bytes_max=1GiB,", {"\"\"", "KEY=VALUE"});
  refuses("=1GiB", {"\"\"", "bytes_max"});
  refuses("bytes_max=lots", {"bytes_max", "\"lots\"", "none"});
  refuses("bytes_max=-1", {"bytes_max", "\"-1\""});
  refuses("bytes_max=1GiB,bytes_max=2GiB", {"bytes_max", "\"2GiB\"", "one"});
  refuses("cache_bytes_max=none", {"cache_bytes_max", "\"none\""});
  refuses("checked=2", {"checked", "\"2\"", "true or false"});
  refuses("background=-5ms", {"background", "\"-5ms\"", "milliseconds"});
  refuses("background=5", {"background", "\"5\"", "milliseconds"});
  refuses("background=5us", {"background", "\"5us\"", "milliseconds"});
  refuses("slack=nan", {"slack", "\"nan\""});
  refuses("slack=", {"slack", "\"\""});
  refuses("handle_types=-1", {"handle_types", "\"-1\""});
}

TEST_CASE("text: what is no policy is refused, and the policies are named") {
  for (const char* text :
       {"keep", "release_above", "release_above()", "release_above(1GiB", "release_above 1GiB)",
        "release_above(1GiB,2GiB)", "watermark(1GiB)", "watermark(1GiB;2GiB)", "decay(-1s)", "decay(5)", "idle(1GiB)",
        "on_pressure(10ms)", "defragment_above(x)", "retain(1)", "retain+", "", "retain retain", "decay(1s))", "(1s)"})
    refuses(std::string("trim=") + text, {"trim", std::string("\"") + text + "\"", "on_pressure(BYTES)"});
}

TEST_CASE("text: options that contradict each other are refused as pool::make refuses them") {
  refuses("trim=watermark(4GiB,2GiB)", {"watermark(4GiB,2GiB)", "low mark"});
  refuses("trim=decay(0)", {"decay(0)", "above 0"});
  refuses("trim=idle(0s)", {"idle(0)", "above 0"});
  refuses("trim=on_pressure(0)", {"on_pressure(0)"});
  refuses("trim=defragment_above(1.5)", {"defragment_above(1.5)", "0 to 1"});
  refuses("bytes_max=1GiB,soft_bytes_max=2GiB", {"soft_bytes_max", "2GiB", "bytes_max, 1GiB"});
  refuses("slack=1.01", {"slack", "1.01"});
  refuses("region_bytes=48MiB", {"region_bytes", "48MiB"});
  refuses("region_bytes=32MiB,region_bytes_min=64MiB", {"region_bytes_min", "64MiB", "region_bytes, 32MiB"});
}

TEST_CASE("environment: WEIR_OPTIONS is read by one function, and an error says so") {
  const pool_options base{.slack = 0.5};
  REQUIRE(unsetenv("WEIR_OPTIONS") == 0);
  CHECK(must(options_from_environment(base)).slack == 0.5);
  REQUIRE(setenv("WEIR_OPTIONS", "slack=0.25", 1) == 0);
  CHECK(must(options_from_environment(base)).slack == 0.25);
  REQUIRE(setenv("WEIR_OPTIONS", "slack=much", 1) == 0);
  const auto refused = options_from_environment(base);
  REQUIRE(why(refused) == errc::invalid_argument);
  for (const char* name : {"slack", "\"much\"", "WEIR_OPTIONS"})
    CHECK(refused.error().message().find(name) != std::string::npos);
  CHECK_NOTHROW(pool::make(sim::device::make()->make_backend()));  // which does not look
  unsetenv("WEIR_OPTIONS");
}

}  // namespace
}  // namespace weir::test
