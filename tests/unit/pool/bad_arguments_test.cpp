// SPDX-License-Identifier: Apache-2.0
//
// What cannot be asked for: sizes, alignments, streams and tokens, options. Each named, nothing changed.
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "pool/options_check.hpp"
#include "scene.hpp"

namespace weir::test {
namespace {

TEST_CASE("alignment: no power of two, or above 1 GiB, is refused by name") {
  scene s;
  const weir::stream stream = s.make_stream();
  const holdings before = holdings_of(s.pool);
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{255}, std::size_t{257}, 3 * MiB,
                                      2 * pool::alignment_max, SIZE_MAX, std::size_t{1} << 63}) {
    for (const std::size_t bytes : {std::size_t{512}, 3 * MiB, 40 * MiB}) {
      const auto refusal = s.pool.try_allocate(bytes, stream, alignment);
      REQUIRE(why(refusal) == errc::invalid_alignment);
      CHECK(refusal.error().bytes == alignment);
      CHECK(refusal.error().limit == pool::alignment_max);
    }
  }
  CHECK_THROWS_AS(s.pool.allocate(512, stream, 3), weir::logic_error);
  CHECK(s.pool.try_allocate(1, stream, 3).error().message() ==
        "invalid alignment: 3 is no power of two from 1 to 1073741824");
  CHECK(holdings_of(s.pool) == before);
}

TEST_CASE("bytes: near the top of size_t are refused before anything wraps") {
  scene s;
  const weir::stream stream = s.make_stream();
  const holdings before = holdings_of(s.pool);
  for (const std::size_t bytes :
       {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 255, SIZE_MAX - 256, SIZE_MAX - 4095, SIZE_MAX / 2, SIZE_MAX / 4 + 1}) {
    for (const std::size_t alignment : {std::size_t{256}, MiB, pool::alignment_max})
      CHECK(why(s.pool.try_allocate(bytes, stream, alignment)) == errc::invalid_size);
    CHECK(why(s.pool.try_allocate_direct(bytes)) == errc::invalid_size);
  }
  CHECK(holdings_of(s.pool) == before);
}

TEST_CASE("bytes: more than any device has are out of memory, and cost nothing") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : {SIZE_MAX / 4, std::size_t{1} << 50, 141 * GiB}) {
    CHECK(why(s.pool.try_allocate(bytes, stream)) == errc::out_of_memory);
    CHECK(why(s.pool.try_allocate(bytes, stream, pool::alignment_max)) == errc::out_of_memory);
    CHECK(why(s.pool.try_allocate_direct(bytes)) == errc::out_of_memory);
  }
  CHECK(s.pool.statistics().allocated == 0);
  CHECK(s.pool.statistics().reserved == 0);
  s.put(s.get(512, stream), 512, stream);
}

// Every call that takes a stream refuses this one with that code.
template <class Stream>
void refuse_everywhere(scene& s, const weir::stream& good, const Stream& bad, errc code) {
  void* p = s.get(512, good);
  const holdings before = holdings_of(s.pool);
  CHECK(why(s.pool.try_allocate(512, bad)) == code);
  CHECK(why(s.pool.try_allocate(40 * MiB, bad)) == code);
  CHECK(why(s.pool.try_deallocate(p, bad)) == code);
  CHECK(why(s.pool.try_deallocate(p, 512, bad)) == code);
  CHECK(why(s.pool.record_use(p, bad)) == code);
  CHECK(why(s.pool.retire(bad)) == code);
  bug_catcher bugs;
  s.pool.deallocate(p, bad);
  CHECK(bugs.told() == std::vector{code});
  CHECK(holdings_of(s.pool) == before);
  s.put(p, 512, good);
}

TEST_CASE("stream: of another device") {
  scene s;
  const auto other = sim::device::make({.ordinal = 1});
  const stream_handle elsewhere = other->create_stream();
  refuse_everywhere(s, s.make_stream(), raw_stream(elsewhere), errc::wrong_device);
  CHECK(why(s.pool.stream(elsewhere)) == errc::wrong_device);
}

TEST_CASE("stream: a handle that is none") {
  scene s;
  const auto nonsense = reinterpret_cast<stream_handle>(std::uintptr_t{0x1234560});
  refuse_everywhere(s, s.make_stream(), raw_stream(nonsense), errc::invalid_argument);
  CHECK(why(s.pool.stream(nonsense)) == errc::invalid_argument);
}

TEST_CASE("token: of another pool, on this device or another") {
  scene s, other;
  const weir::pool beside = pool::make(s.device->make_backend());
  refuse_everywhere(s, s.make_stream(), other.make_stream(), errc::wrong_device);
  weir::pool neighbour = pool::make(s.device->make_backend());
  refuse_everywhere(s, s.make_stream(), must(neighbour.stream(s.device->create_stream())), errc::wrong_device);
}

TEST_CASE("token: an empty one") {
  scene s;
  refuse_everywhere(s, s.make_stream(), weir::stream{}, errc::invalid_argument);
}

TEST_CASE("token: a retired one, and the raw handle of a stream that was retired") {
  for (const bool trust : {false, true}) {
    INFO((trust ? "handles trusted" : "handles verified"));
    scene s({.trust_handles = trust});
    const stream_handle handle = s.device->create_stream();
    const weir::stream retired = must(s.pool.stream(handle));
    s.put(s.get(512, retired), 512, retired);
    must(s.pool.retire(retired));
    CHECK(retired.handle() == nullptr);
    refuse_everywhere(s, s.make_stream(), retired, errc::stream_retired);
    refuse_everywhere(s, s.make_stream(), raw_stream(handle), errc::stream_retired);
    CHECK(why(s.pool.stream(handle)) == errc::stream_retired);
  }
}

TEST_CASE("token: of a pool that is gone") {
  scene s;
  weir::stream orphan;
  {
    weir::pool gone = pool::make(s.device->make_backend());
    orphan = must(gone.stream(s.device->create_stream()));
  }
  refuse_everywhere(s, s.make_stream(), orphan, errc::stream_retired);
}

TEST_CASE("limit: below what is live is refused, says both, and changes nothing") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* p = s.get(200 * MiB, stream);
  void* q = s.pool.allocate_direct(10 * MiB);
  const holdings before = holdings_of(s.pool);
  const auto refusal = s.pool.set_bytes_max(100 * MiB);
  REQUIRE(why(refusal) == errc::limit_below_live);
  CHECK(refusal.error().bytes == 100 * MiB);
  CHECK(refusal.error().limit >= 210 * MiB);
  CHECK(holdings_of(s.pool) == before);
  s.put(s.get(300 * MiB, stream), 300 * MiB, stream);
  s.put(p, 200 * MiB, stream);
  s.pool.deallocate_direct(q);
  must(s.pool.set_bytes_max(100 * MiB));
}

TEST_CASE("limit: below a chunk is refused, at the start and later") {
  const auto device = sim::device::make();
  for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, 32 * MiB - 1})
    CHECK(why(pool::try_make(device->make_backend(), {.bytes_max = limit})) == errc::invalid_argument);
  scene s({.bytes_max = 32 * MiB});
  for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, 32 * MiB - 1})
    CHECK(why(s.pool.set_bytes_max(limit)) == errc::invalid_argument);
}

TEST_CASE("options: those that make no sense are refused, and say which") {
  const auto device = sim::device::make();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refuse = [&](pool_options options, const std::string& name) {
    auto made = pool::try_make(device->make_backend(), std::move(options));
    REQUIRE(why(made) == errc::invalid_argument);
    CHECK(made.error().message().find(name) != std::string::npos);
  };
  for (const std::size_t bytes : {std::size_t{0}, 16 * MiB, 33 * MiB, 48 * MiB, 2 * GiB})
    refuse({.region_bytes = bytes}, "region_bytes");
  for (const std::size_t bytes : {std::size_t{0}, 2 * MiB, 12 * MiB, 128 * MiB})
    refuse({.region_bytes_min = bytes}, "region_bytes_min");
  for (const double share : {-0.1, 1.1, nan}) refuse({.big_cache_share = share}, "big_cache_share");
  for (const double fit : {-0.1, 1.1, nan}) refuse({.big_cache_fit = fit}, "big_cache_fit");
  for (const double ratio : {-0.1, 1.1, nan}) refuse({.trim = {defragment_above(ratio)}}, "defragment_above");
  for (const double slack : {-0.1, 1.1, nan}) refuse({.slack = slack}, "slack");
  refuse({.bytes_max = 1}, "bytes_max: invalid argument: 1; accepted: at least one chunk of the native pool, 32MiB");
  refuse({.soft_bytes_max = MiB}, "soft_bytes_max");
  refuse({.bytes_max = GiB, .soft_bytes_max = GiB + 1}, "soft_bytes_max");
  refuse({.trim = {watermark(2 * GiB, GiB)}}, "watermark(2GiB,1GiB)");
  refuse({.trim = {decay(std::chrono::nanoseconds(0))}}, "decay");
  refuse({.trim = {decay(std::chrono::seconds(-1))}}, "decay(-1s)");
  refuse({.trim = {idle(std::chrono::seconds(-1))}}, "idle(-1s)");
  refuse({.trim = {on_pressure(0)}}, "on_pressure");
  refuse({.trim = {retain(), on_pressure(141 * GiB)}}, "140GiB");
  refuse({.trim = {{.kind = static_cast<trim_policy::rule>(99)}}}, "trim");
  refuse({.background = std::chrono::milliseconds(-1)}, "background");
  CHECK_THROWS_AS(pool::make(device->make_backend(), {.bytes_max = 1}), weir::logic_error);
}

TEST_CASE("options: policies that give back, of a pool that cannot, are refused") {
  backend_capabilities exported;
  exported.device_bytes_total = GiB;
  exported.chunk_bytes = 32 * MiB;
  exported.can_trim = false;
  for (const trim_policy& p : {release_above(0), watermark(0, 0), decay(std::chrono::seconds(1)),
                               idle(std::chrono::seconds(1)), on_pressure(MiB)}) {
    const auto refused = detail::check({.trim = {p}, .handle_types = 1}, exported);
    REQUIRE(why(refused) == errc::invalid_argument);
    CHECK(refused.error().message().find("handle_types") != std::string::npos);
  }
  must(detail::check({.trim = {retain(), defragment_above(0.5)}, .handle_types = 1}, exported));
}

TEST_CASE("backend: a null one makes no pool") {
  CHECK(why(pool::try_make(std::unique_ptr<weir::backend>())) == errc::invalid_argument);
  CHECK_THROWS_AS(pool::make(std::unique_ptr<weir::backend>()), weir::logic_error);
}

TEST_CASE("device: one that does not exist makes no pool") {
  for (const int ordinal : {-1, 1 << 20}) {
    const errc code = why(pool::try_make(ordinal));
    CHECK((code == errc::no_such_device || code == errc::no_cuda_device || code == errc::built_without_cuda));
  }
}

}  // namespace
}  // namespace weir::test
