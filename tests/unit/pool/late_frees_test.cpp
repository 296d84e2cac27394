// SPDX-License-Identifier: Apache-2.0
//
// What hosts need that do not own their streams: a stream identified in the call that names it, and frees in its order
// when it may be gone.
#include <array>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 12 * MiB, big = 64 * MiB;

TEST_CASE("identify: a handle's stream is verified in the call, and the handle is left alone afterwards") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  const auto before = s.device->calls().identify;
  const weir::stream name = must(s.pool.identify(handle));
  CHECK(s.device->calls().identify > before);
  CHECK(name == must(s.pool.identify(handle)));
  for (const std::size_t bytes : {small, medium, big}) {
    void* p = s.get(bytes, must(s.pool.identify(handle)));
    s.device->launch(handle, long_ns, {{p, bytes}});
    must(s.pool.try_deallocate_late(p, bytes, name));
  }
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("identify: a capturing stream is refused, a stream in a capture scope is not") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  (void)must(s.pool.identify(handle));
  s.device->set_capturing(handle, true);
  CHECK(why(s.pool.identify(handle)) == errc::stream_capturing);
  s.device->set_capturing(handle, false);
  const weir::capture_scope scope = s.pool.capture(raw_stream(handle));
  s.device->set_capturing(handle, true);
  void* p = s.pool.allocate(small, must(s.pool.identify(handle)));
  must(s.pool.try_deallocate_late(p, small, must(s.pool.identify(handle))));
  s.device->set_capturing(handle, false);
}

TEST_CASE("late frees: on a stream that was destroyed, nothing is asked of it and no order is broken") {
  for (const std::size_t bytes : {small, medium, big}) {
    scene s;
    const stream_handle handle = s.device->create_stream();
    const weir::stream name = must(s.pool.identify(handle));
    void* p = s.pool.allocate(bytes, name);
    s.device->launch(handle, long_ns, {{p, bytes}});
    s.device->destroy_stream(handle);
    const stream_handle again = s.device->create_stream();  // under the same handle, here
    CHECK(again == handle);
    must(s.pool.try_deallocate_late(p, bytes, name));
    void* q = s.pool.allocate(bytes, must(s.pool.identify(again)));
    CHECK_FALSE(overlap(p, bytes, q, bytes));
    s.device->launch(again, long_ns, {{q, bytes}});
    must(s.pool.try_deallocate_late(q, bytes, must(s.pool.identify(again))));
    // It is lost by now, and may still be named.
    void* r = s.pool.allocate(bytes, must(s.pool.identify(again)));
    s.device->launch(again, long_ns, {{r, bytes}});
    must(s.pool.try_deallocate_late(r, bytes, name));
    CHECK(must(s.pool.synchronize_and_trim(0)).reserved_after == 0);
  }
}

TEST_CASE("late frees: what is wrong with one is answered, and the block stays") {
  scene s;
  const weir::stream name = must(s.pool.identify(s.device->create_stream()));
  void* p = s.pool.allocate(small, name);
  CHECK(why(s.pool.try_deallocate_late(p, 2 * small, name)) == errc::size_mismatch);
  CHECK(why(s.pool.try_deallocate_late(&s, small, name)) == errc::foreign_pointer);
  CHECK(why(s.pool.try_deallocate_late(p, small, {})) == errc::invalid_argument);
  scene other;
  const weir::stream foreign = must(other.pool.identify(other.device->create_stream()));
  CHECK(why(s.pool.try_deallocate_late(p, small, foreign)) == errc::wrong_device);
  weir::pool none;
  CHECK(why(none.try_deallocate_late(p, small, name)) == errc::null_pool);
  CHECK(why(none.identify(raw_stream(nullptr))) == errc::null_pool);
  CHECK(s.pool.statistics().live_count == 1);
  must(s.pool.try_deallocate_late(p, small, name));
  CHECK(why(s.pool.try_deallocate_late(p, small, name)) == errc::double_free);
}

TEST_CASE("late frees: what the stream freed is given back once it was named again") {
  scene s;
  const stream_handle handle = s.device->create_stream();
  void* p = s.pool.allocate(big, must(s.pool.identify(handle)));
  must(s.pool.try_deallocate_late(p, big, must(s.pool.identify(handle))));
  s.device->synchronize();
  CHECK(must(s.pool.trim(0)).kept_pending > 0);  // nobody may look at the stream
  (void)must(s.pool.identify(handle));
  CHECK(must(s.pool.trim(0)).reserved_after == 0);
}

}  // namespace
}  // namespace weir::test
