// SPDX-License-Identifier: Apache-2.0
//
// The contract of streams, events, identity and capture.
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <set>
#include <thread>

#include "backend_contract.hpp"
#include "contract_scene.hpp"

namespace weir::test {
namespace {

constexpr unsigned long_us = 50'000;

TEST_CASE("event: it is complete once the work before it is") {
  scene s;
  const stream_handle stream = s.stream();
  backend_event* event = s.event();
  s.fixture().busy(stream, long_us);
  must(s.target().record(event, stream));
  CHECK_FALSE(must(s.target().query(event)));
  must(s.target().synchronize(event));
  CHECK(must(s.target().query(event)));
}

TEST_CASE("event: one of an idle stream is soon complete") {
  scene s;
  backend_event* event = s.event();
  must(s.target().record(event, s.stream()));
  must(s.target().synchronize(event));
  CHECK(must(s.target().query(event)));
}

TEST_CASE("event: it does not wait for what comes after its record") {
  scene s;
  const stream_handle stream = s.stream();
  backend_event* event = s.event();
  must(s.target().record(event, stream));
  s.fixture().busy(stream, long_us);
  must(s.target().synchronize(event));
  CHECK_FALSE(must(s.target().is_idle(stream)));
}

TEST_CASE("event: a second record replaces the first") {
  scene s;
  const stream_handle stream = s.stream();
  backend_event* event = s.event();
  must(s.target().record(event, stream));
  must(s.target().synchronize(event));
  s.fixture().busy(stream, long_us);
  must(s.target().record(event, stream));
  CHECK_FALSE(must(s.target().query(event)));
}

TEST_CASE("event: a stream that waits is busy until the other's work is done") {
  scene s;
  const stream_handle a = s.stream();
  const stream_handle b = s.stream();
  backend_event* event = s.event();
  backend_event* after = s.event();
  s.fixture().busy(a, long_us);
  must(s.target().record(event, a));
  must(s.target().wait(b, event));
  must(s.target().record(after, b));
  CHECK_FALSE(must(s.target().query(after)));
  must(s.target().synchronize(after));
  CHECK(must(s.target().query(event)));
}

TEST_CASE("event: a wait keeps the record it saw") {
  scene s;
  const stream_handle a = s.stream();
  const stream_handle b = s.stream();
  backend_event* event = s.event();
  backend_event* after = s.event();
  must(s.target().record(event, a));
  must(s.target().wait(b, event));
  s.fixture().busy(a, long_us);
  must(s.target().record(event, a));
  must(s.target().record(after, b));
  must(s.target().synchronize(after));
  CHECK_FALSE(must(s.target().query(event)));
}

TEST_CASE("stream: two do not wait for each other unasked") {
  scene s;
  const stream_handle a = s.stream();
  const stream_handle b = s.stream();
  backend_event* event = s.event();
  s.fixture().busy(a, long_us);
  must(s.target().record(event, b));
  must(s.target().synchronize(event));
  CHECK_FALSE(must(s.target().is_idle(a)));
}

TEST_CASE("stream: it is idle when all its work is done") {
  scene s;
  const stream_handle stream = s.stream();
  s.synchronize();
  CHECK(must(s.target().is_idle(stream)));
  s.fixture().busy(stream, long_us);
  CHECK_FALSE(must(s.target().is_idle(stream)));
  s.synchronize();
  CHECK(must(s.target().is_idle(stream)));
}

TEST_CASE("stream: work goes on when its stream is destroyed") {
  scene s;
  const stream_handle stream = s.stream();
  backend_event* event = s.event();
  s.fixture().busy(stream, 2000);
  must(s.target().record(event, stream));
  s.destroy(stream);
  must(s.target().synchronize(event));
  CHECK(must(s.target().query(event)));
}

TEST_CASE("stream: it has an identity, an ordinary kind and a device") {
  scene s;
  const stream_handle stream = s.stream();
  const stream_identity first = must(s.target().examine(stream));
  CHECK(first.device == s.target().capabilities().device);
  CHECK(first.kind == stream_kind::ordinary);
  CHECK(must(s.target().identify(stream)) == first.id);
  CHECK(must(s.target().identify(s.target().own_stream())) != first.id);
}

TEST_CASE("stream: one made by the backend is ordinary, its own, and serves until it is destroyed") {
  scene s;
  const stream_handle stream = must(s.target().create_stream());
  const stream_handle second = must(s.target().create_stream());
  CHECK(stream != second);
  const auto whole = must(s.target().examine(stream));
  CHECK(whole.kind == stream_kind::ordinary);
  CHECK(whole.id != must(s.target().identify(second)));
  s.allocate(MiB, stream);
  must(s.target().destroy_stream(stream));
  must(s.target().destroy_stream(second));
}

TEST_CASE("stream: an identity never comes back, though a handle may") {
  scene s;
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 32; ++i) {
    const stream_handle stream = s.stream();
    CHECK(ids.insert(must(s.target().identify(stream))).second);
    s.destroy(stream);
  }
}

TEST_CASE("stream: the special handles have their kinds and identities") {
  scene s;
  const stream_identity legacy = must(s.target().examine(legacy_stream()));
  const stream_identity per_thread = must(s.target().examine(per_thread_stream()));
  CHECK(legacy.kind == stream_kind::legacy_default);
  CHECK(per_thread.kind == stream_kind::per_thread_default);
  CHECK(legacy.device == s.target().capabilities().device);
  CHECK(legacy.id != per_thread.id);
  CHECK(must(s.target().identify(per_thread_stream())) == per_thread.id);
}

TEST_CASE("stream: the per-thread stream is another in every thread, the legacy stream is not") {
  scene s;
  std::uint64_t legacy = 0;
  std::uint64_t per_thread = 0;
  std::thread([&] {
    legacy = *s.target().identify(legacy_stream());
    per_thread = *s.target().identify(per_thread_stream());
  }).join();
  CHECK(must(s.target().identify(legacy_stream())) == legacy);
  CHECK(must(s.target().identify(per_thread_stream())) != per_thread);
}

TEST_CASE("stream: the special handles serve as streams") {
  scene s;
  for (const stream_handle stream : {legacy_stream(), per_thread_stream()}) {
    backend_event* event = s.event();
    void* pointer = s.allocate(2 * MiB, stream);
    must(s.target().record(event, stream));
    must(s.target().wait(stream, event));
    must(s.target().synchronize(event));
    s.deallocate(pointer, stream);
  }
  s.synchronize();
  CHECK(must(s.target().is_idle(legacy_stream())));
  CHECK(must(s.target().is_idle(per_thread_stream())));
  CHECK(s.used() == 0);
}

TEST_CASE("capture: a capturing stream is refused before it is touched") {
  scene s;
  const stream_handle stream = s.stream();
  void* before = s.allocate(2 * MiB, stream);
  backend_event* event = s.event();
  must(s.target().record(event, s.target().own_stream()));
  s.fixture().begin_capture(stream);
  CHECK(why(s.target().examine(stream)) == errc::stream_capturing);
  CHECK(why(s.target().allocate(2 * MiB, stream)) == errc::stream_capturing);
  CHECK(why(s.target().deallocate(before, stream)) == errc::stream_capturing);
  CHECK(why(s.target().record(event, stream)) == errc::stream_capturing);
  CHECK(why(s.target().wait(stream, event)) == errc::stream_capturing);
  CHECK(why(s.target().is_idle(stream)) == errc::stream_capturing);
  s.fixture().end_capture(stream);
  CHECK(why(s.target().examine(stream)) == errc::ok);
  CHECK(s.used() == 2 * MiB);
}

TEST_CASE("capture: a capturing stream tells no id, and to ask for it does the capture no harm") {
  scene s;
  const stream_handle stream = s.stream();
  const std::uint64_t before = must(s.target().identify(stream));
  s.fixture().begin_capture(stream);
  CHECK(why(s.target().identify(stream)) == errc::stream_capturing);
  s.fixture().end_capture(stream);  // the fixture fails here if the capture was invalidated
  CHECK(must(s.target().identify(stream)) == before);
}

TEST_CASE("capture: calls on other streams do not disturb a capture") {
  scene s;
  const stream_handle capturing = s.stream();
  const stream_handle other = s.stream();
  backend_event* event = s.event();
  s.fixture().begin_capture(capturing);
  void* native = s.allocate(64 * MiB, other);
  void* direct = must(s.target().allocate_direct(2 * MiB));
  must(s.target().record(event, other));
  must(s.target().query(event));
  must(s.target().synchronize(event));
  s.fixture().busy(other, 5'000);
  s.deallocate(native, other);
  must(s.target().synchronize_device());
  CHECK(must(s.target().is_idle(other)));
  must(s.target().record(event, other));
  must(s.target().synchronize(event));
  must(s.target().trim(0));
  CHECK(s.reserved() == 0);
  must(s.target().memory());
  CHECK(why(s.target().examine(capturing)) == errc::stream_capturing);
  s.fixture().end_capture(capturing);  // the fixture fails here if the capture was invalidated
  must(s.target().deallocate_direct(direct));
}

}  // namespace
}  // namespace weir::test
