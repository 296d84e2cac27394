// SPDX-License-Identifier: Apache-2.0
#include "weir/error.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <set>
#include <string>

#include "weir/memory_report.hpp"

using Catch::Matchers::ContainsSubstring;
using weir::errc;

namespace {

constexpr std::array all_codes{
    errc::ok,
    errc::out_of_memory,
    errc::no_cuda_device,
    errc::built_without_cuda,
    errc::no_such_device,
    errc::device_lost,
    errc::driver_unloading,
    errc::cuda,
    errc::not_supported,
    errc::stream_capturing,
    errc::invalid_argument,
    errc::invalid_alignment,
    errc::invalid_size,
    errc::null_pool,
    errc::foreign_pointer,
    errc::double_free,
    errc::size_mismatch,
    errc::wrong_device,
    errc::stream_retired,
    errc::stream_unsupported,
    errc::limit_below_live,
    errc::forked,
    errc::internal,
};

int bugs_seen = 0;
errc last_bug = errc::ok;

void count_bug(const weir::error& e) noexcept {
  ++bugs_seen;
  last_bug = e.code;
}

template <class Exception>
std::string text_thrown_for(weir::error e) {
  try {
    weir::raise(std::move(e));
  } catch (const Exception& thrown) {
    return thrown.what();
  }
}

}  // namespace

TEST_CASE("error: each code has a text of its own") {
  std::set<std::string> texts;
  for (const errc code : all_codes) texts.insert(weir::to_string(code));
  CHECK(texts.size() == all_codes.size());
  CHECK(!texts.contains("unknown error"));
}

TEST_CASE("error: a code that does not exist still has a text") {
  CHECK(std::string(weir::to_string(static_cast<errc>(9999))) == "unknown error");
}

TEST_CASE("error: what the world refuses is no bug, what the caller got wrong is") {
  for (const errc code :
       {errc::ok, errc::out_of_memory, errc::no_cuda_device, errc::built_without_cuda, errc::no_such_device,
        errc::device_lost, errc::driver_unloading, errc::cuda, errc::not_supported, errc::stream_capturing}) {
    INFO(weir::to_string(code));
    CHECK(!weir::is_bug(code));
  }
  for (const errc code : all_codes) {
    INFO(weir::to_string(code));
    CHECK(weir::is_bug(code) == (code >= errc::invalid_argument));
  }
}

TEST_CASE("error: the message names the call, the value and the limit") {
  const weir::error e{.code = errc::invalid_alignment, .bytes = 48, .limit = 4096, .what = "allocate"};
  CHECK(e.message() == "allocate: invalid alignment: 48 is no power of two from 1 to 4096");
}

TEST_CASE("error: out of memory says who holds the rest") {
  auto report = std::make_shared<weir::memory_report>();
  report->live = 777;
  const weir::error e{.code = errc::out_of_memory, .bytes = 100, .limit = 10, .report = report};
  CHECK_THAT(e.message(), ContainsSubstring("100 bytes asked for, 10 could be had"));
  CHECK_THAT(e.message(), ContainsSubstring("live 777"));
}

TEST_CASE("error: CUDA's own code is in the message") {
  CHECK_THAT((weir::error{.code = errc::device_lost, .native_code = 700}.message()), ContainsSubstring("700"));
}

TEST_CASE("error: an exception says what its error says") {
  const weir::error no_room{.code = errc::out_of_memory, .bytes = 5, .limit = 4};
  const weir::error lost{.code = errc::device_lost, .native_code = 719};
  const weir::error twice{.code = errc::double_free, .what = "deallocate"};
  CHECK(text_thrown_for<weir::out_of_memory>(no_room) == no_room.message());
  CHECK(text_thrown_for<weir::cuda_error>(lost) == lost.message());
  CHECK(text_thrown_for<weir::logic_error>(twice) == twice.message());
}

TEST_CASE("error: out_of_memory is a bad_alloc") {
  CHECK_THROWS_AS(weir::raise({.code = errc::out_of_memory}), std::bad_alloc);
}

TEST_CASE("error: a bug goes to the handler that is installed") {
  const weir::bug_handler before = weir::set_bug_handler(count_bug);
  bugs_seen = 0;
  weir::report_bug({.code = errc::double_free});
  CHECK(weir::set_bug_handler(before) == count_bug);
  CHECK(bugs_seen == 1);
  CHECK(last_bug == errc::double_free);
}
