// SPDX-License-Identifier: Apache-2.0
//
// `weir generate` as a user sees it.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <set>
#include <string>

#include "cli/run_weir.hpp"
#include "weir/trace/reader.hpp"
#include "weir/trace/validator.hpp"

using Catch::Matchers::ContainsSubstring;
using weir::test::read_file;
using weir::test::run_weir;
using weir::test::scratch_folder;

namespace {

struct contents {
  std::set<std::uint32_t> threads, streams;
  std::uint64_t uses = 0, waits = 0, freed_elsewhere = 0, freed_by_others = 0, above_16_mib = 0;
  std::uint64_t peak_live_bytes = 0;
  std::size_t left_live = 0;
};

// Every record passes the validator.
contents read_contents(const std::string& path) {
  auto trace = weir::trace::reader::open(path);
  REQUIRE(trace);
  weir::trace::validator check;
  weir::trace::record r;
  contents all;
  std::vector<std::uint32_t> thread_of_slot;
  for (;;) {
    const auto more = trace->next(r);
    REQUIRE(more);
    if (!*more) break;
    const auto seen = check.observe(r);
    INFO((seen ? std::string() : seen.error()));
    REQUIRE(seen);
    all.threads.insert(r.thread);
    all.streams.insert(r.stream);
    all.uses += r.kind == weir::trace::record_kind::use;
    all.waits += r.kind == weir::trace::record_kind::wait;
    if (r.kind == weir::trace::record_kind::allocate) {
      thread_of_slot.resize(std::max(thread_of_slot.size(), seen->slot + 1));
      thread_of_slot[seen->slot] = r.thread;
      all.above_16_mib += r.bytes > (16u << 20);
    }
    if (r.kind == weir::trace::record_kind::deallocate) {
      all.freed_elsewhere += r.stream != seen->block.stream;
      all.freed_by_others += r.thread != thread_of_slot[seen->slot];
    }
  }
  all.peak_live_bytes = check.peak_live_bytes();
  all.left_live = check.live_count();
  return all;
}

void check_refused(const std::string& arguments, const std::string& reason) {
  const auto done = run_weir("generate " + arguments);
  INFO(arguments);
  CHECK(done.exit_code == 2);
  CHECK_THAT(done.err, ContainsSubstring(reason));
}

}  // namespace

TEST_CASE("generate: the same seed makes the same bytes, another seed others") {
  const scratch_folder scratch;
  const auto make = [&](const std::string& name, int seed) {
    const std::string path = scratch.path(name);
    REQUIRE(
        run_weir("generate handover --events 3000 --seed " + std::to_string(seed) + " -o '" + path + "'").exit_code ==
        0);
    return read_file(path);
  };
  const std::string first = make("a.weir", 3);
  CHECK(first == make("b.weir", 3));
  CHECK(first != make("c.weir", 4));
}

TEST_CASE("generate: a handover trace has threads, streams, uses, waits, frees elsewhere, big blocks and a bound") {
  const scratch_folder scratch;
  for (const char* seed : {"1", "2", "3"}) {
    INFO("seed " << seed);
    const std::string path = scratch.path("made.weir");
    REQUIRE(run_weir("generate handover --threads 8 --streams 16 --events 12000 --bytes-max 2GiB --seed " +
                     std::string(seed) + " -o '" + path + "'")
                .exit_code == 0);
    const contents made = read_contents(path);
    CHECK(made.threads.size() == 8);
    CHECK(made.streams.size() == 16);
    CHECK(made.uses > 500);
    CHECK(made.waits > 500);
    CHECK(made.freed_elsewhere > 500);
    CHECK(made.freed_by_others > 500);
    CHECK(made.above_16_mib > 20);
    CHECK(made.peak_live_bytes <= std::uint64_t{2} << 30);
    CHECK(made.peak_live_bytes > std::uint64_t{1} << 30);
    CHECK(made.left_live == 0);
  }
}

TEST_CASE("generate: the committed trace is what its seed makes") {
  const scratch_folder scratch;
  const std::string path = scratch.path("made.weir");
  REQUIRE(run_weir("generate handover --seed 4 --events 20000 -o '" + path + "'").exit_code == 0);
  // Compared as records: the packed bytes depend on the version of zlib.
  const auto text = [](const std::string& file) { return run_weir("inspect '" + file + "'").out; };
  const std::string committed = WEIR_SOURCE_DIR "/tests/data/traces/handover.weir";
  const std::string ours = text(path);
  REQUIRE_FALSE(ours.empty());
  CHECK(ours.substr(ours.find('\n')) == text(committed).substr(text(committed).find('\n')));
}

TEST_CASE("generate: bad options are refused and leave no file") {
  const scratch_folder scratch;
  const std::string out = "-o '" + scratch.path("made.weir") + "'";
  check_refused("", "subcommand");
  check_refused("nonsense " + out, "subcommand");
  check_refused("handover", "--out");
  check_refused("handover --threads 0 " + out, "--threads");
  check_refused("handover --streams 5000 " + out, "--streams");
  check_refused("handover --events 0 " + out, "--events");
  check_refused("handover --bytes-max some " + out, "'some' is no number of bytes");
  check_refused("handover -o /nonexistent/made.weir", "/nonexistent/made.weir");
  CHECK(scratch.file_count() == 0);
}
