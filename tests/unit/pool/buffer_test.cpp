// SPDX-License-Identifier: Apache-2.0
#include "weir/buffer.hpp"

#include <type_traits>

#include "scene.hpp"

namespace weir::test {
namespace {

static_assert(!std::is_copy_constructible_v<buffer<int>> && !std::is_copy_assignable_v<buffer<int>>);
static_assert(std::is_nothrow_move_constructible_v<buffer<int>> && std::is_nothrow_move_assignable_v<buffer<int>>);

TEST_CASE("buffer: it has its elements while it lives, and frees them on its stream") {
  scene s;
  const weir::stream stream = s.make_stream();
  {
    buffer<float> x(s.pool, 1000, stream);
    REQUIRE(x.data() != nullptr);
    CHECK(x.count() == 1000);
    CHECK(x.bytes() == 4000);
    CHECK_FALSE(x.is_empty());
    CHECK(x.stream() == stream);
    CHECK(x.device() == s.pool.device());
    s.write(x.data(), x.bytes(), stream);
    CHECK(s.pool.statistics().live_count == 1);
  }
  CHECK(s.pool.statistics().live_count == 0);
}

TEST_CASE("buffer: an empty one has nothing, and every call on it is harmless") {
  scene s;
  const weir::stream stream = s.make_stream();
  buffer<int> none;
  CHECK(none.data() == nullptr);
  CHECK(none.is_empty());
  CHECK(none.device() == -1);
  none.used_on(stream);
  none.free_on(stream);
  none.reset();
  CHECK(none.release() == nullptr);
  buffer<int> zero(s.pool, 0, stream);
  CHECK(zero.data() == nullptr);
  CHECK(zero.is_empty());
  zero.used_on(stream);
  zero.reset();
  CHECK(s.pool.statistics().allocations == 0);
}

TEST_CASE("buffer: a move hands the memory on, and what was there before is freed") {
  scene s;
  const weir::stream stream = s.make_stream();
  buffer<int> a(s.pool, 100, stream);
  int* const data = a.data();
  buffer<int> b(std::move(a));
  CHECK(b.data() == data);
  CHECK(a.data() == nullptr);
  CHECK(a.is_empty());
  buffer<int> c(s.pool, 200, stream);
  c = std::move(b);
  CHECK(c.data() == data);
  CHECK(c.count() == 100);
  CHECK(s.pool.statistics().live_count == 1);
  buffer<int>& same = c;
  c = std::move(same);
  CHECK(c.data() == data);
  c = {};
  CHECK(s.pool.statistics().live_count == 0);
}

TEST_CASE("buffer: release gives the memory up to the caller") {
  scene s;
  const weir::stream stream = s.make_stream();
  buffer<int> a(s.pool, 100, stream);
  int* const data = a.release();
  CHECK(a.is_empty());
  a.reset();
  CHECK(s.pool.statistics().live_count == 1);
  s.put(data, 400, stream);
}

TEST_CASE("buffer: free_on and set_stream free it on the other stream, in order") {
  for (const bool at_once : {true, false}) {
    scene s;
    const weir::stream a = s.make_stream(), b = s.make_stream();
    buffer<std::byte> x(s.pool, 64 * MiB, a);
    void* const data = x.data();
    s.write(data, 64 * MiB, a);
    s.order(a, b);
    s.busy(b);
    s.read(data, 64 * MiB, b);
    if (at_once) {
      x.free_on(b);
    } else {
      x.set_stream(b);
      x = {};
    }
    CHECK(s.get(64 * MiB, a) != data);
    CHECK(s.get(64 * MiB, b) == data);
  }
}

TEST_CASE("buffer: used_on keeps it from reuse until that stream is done") {
  scene s;
  const weir::stream a = s.make_stream(), b = s.make_stream();
  buffer<std::byte> x(s.pool, 64 * MiB, a);
  void* const data = x.data();
  s.write(data, 64 * MiB, a);
  s.order(a, b);
  s.read(data, 64 * MiB, b, long_ns);
  x.used_on(b);
  x.reset();
  CHECK(s.get(64 * MiB, a) != data);
  s.device->synchronize();
  CHECK(s.get(64 * MiB, a) == data);
}

struct alignas(4096) page {
  char bytes[4096];
};

TEST_CASE("buffer: the alignment of its type is kept") {
  scene s;
  const weir::stream stream = s.make_stream();
  buffer<char> shift(s.pool, 1, stream);
  for (int i = 0; i < 5; ++i) {
    buffer<page> x(s.pool, 3, stream);
    CHECK(reinterpret_cast<std::uintptr_t>(x.data()) % 4096 == 0);
    CHECK(x.bytes() == 3 * 4096);
  }
}

TEST_CASE("buffer: a count whose bytes overflow is refused, and one there is no memory for is out of memory") {
  scene s;
  const weir::stream stream = s.make_stream();
  CHECK_THROWS_AS(buffer<double>(s.pool, SIZE_MAX / 8 + 1, stream), weir::logic_error);
  CHECK_THROWS_AS(buffer<double>(s.pool, SIZE_MAX, stream), weir::logic_error);
  CHECK_THROWS_AS(buffer<double>(s.pool, SIZE_MAX / 8, stream), weir::logic_error);
  CHECK_THROWS_AS(buffer<double>(s.pool, (std::size_t{1} << 40), stream), weir::out_of_memory);
  weir::pool null;
  CHECK_THROWS_AS(buffer<double>(null, 10, stream), weir::logic_error);
  CHECK_THROWS_AS(buffer<double>(s.pool, 10, weir::stream{}), weir::logic_error);
  CHECK(s.pool.statistics().allocated == 0);
}

}  // namespace
}  // namespace weir::test
