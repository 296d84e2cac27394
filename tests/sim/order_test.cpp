// SPDX-License-Identifier: Apache-2.0
//
// The checker of stream order: it finds planted races and says nothing of right programs.
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <thread>

#include "support/results.hpp"
#include "weir/sim.hpp"

namespace weir::test {
namespace {

constexpr std::size_t MiB = std::size_t{1} << 20;
constexpr std::uint64_t us = 1000;

struct program {
  explicit program(std::shared_ptr<sim::device> d = sim::device::make()) : device(std::move(d)) {}

  std::shared_ptr<sim::device> device;
  std::unique_ptr<backend> target = device->make_backend();
  stream_handle a = device->create_stream();
  stream_handle b = device->create_stream();
  backend_event* event = must(target->create_event());
  std::byte* memory = static_cast<std::byte*>(must(target->allocate(MiB, a)));

  ~program() { target->destroy_event(event); }

  sim::range part(std::size_t offset = 0, std::size_t bytes = MiB) const { return {memory + offset, bytes}; }
  void write(stream_handle stream, sim::range r) { device->launch(stream, 10 * us, {r}); }
  void read(stream_handle stream, sim::range r) { device->launch(stream, 10 * us, {}, std::span(&r, 1)); }
  std::size_t violations() const { return device->violations().size(); }
};

TEST_CASE("order: use on the allocating stream is right") {
  program p;
  p.write(p.a, p.part());
  p.read(p.a, p.part());
  must(p.target->deallocate(p.memory, p.a));
  CHECK(p.violations() == 0);
}

TEST_CASE("order: use on another stream without a wait is a violation, and names both") {
  program p;
  p.write(p.a, p.part());
  p.write(p.b, p.part());
  REQUIRE(p.violations() == 1);
  const sim::violation v = p.device->violations().front();
  CHECK(v.address == p.memory);
  CHECK(v.text.find("stream " + std::to_string(must(p.target->identify(p.a)))) != std::string::npos);
  CHECK(v.text.find("stream " + std::to_string(must(p.target->identify(p.b)))) != std::string::npos);
}

TEST_CASE("order: an allocation is usable by its own stream first") {
  program p;
  p.read(p.b, p.part());
  CHECK(p.violations() == 1);
}

TEST_CASE("order: a wait on an event orders what was before its record") {
  program p;
  p.write(p.a, p.part());
  must(p.target->record(p.event, p.a));
  must(p.target->wait(p.b, p.event));
  p.write(p.b, p.part());
  CHECK(p.violations() == 0);
}

TEST_CASE("order: a wait does not order what came after the record") {
  program p;
  must(p.target->record(p.event, p.a));
  p.write(p.a, p.part());
  must(p.target->wait(p.b, p.event));
  p.read(p.b, p.part());
  CHECK(p.violations() == 1);
}

TEST_CASE("order: the user's own event orders") {
  program p;
  p.write(p.a, p.part());
  p.device->order(p.a, p.b);
  p.write(p.b, p.part());
  CHECK(p.violations() == 0);
}

TEST_CASE("order: order is handed on") {
  program p;
  const stream_handle c = p.device->create_stream();
  p.write(p.a, p.part());
  p.device->order(p.a, p.b);
  p.device->order(p.b, c);
  p.write(c, p.part());
  CHECK(p.violations() == 0);
}

TEST_CASE("order: that work is complete in virtual time orders nothing") {
  program p;
  p.write(p.a, p.part());
  p.device->advance(1'000'000'000);
  p.write(p.b, p.part());
  CHECK(p.violations() == 1);
}

TEST_CASE("order: what the host saw complete is ordered before what it enqueues next") {
  for (const int how : {0, 1, 2, 3, 4}) {
    program p;
    p.write(p.a, p.part());
    must(p.target->record(p.event, p.a));
    p.device->advance(1'000'000);
    if (how == 0) CHECK(must(p.target->query(p.event)));
    if (how == 1) must(p.target->synchronize(p.event));
    if (how == 2) must(p.target->synchronize_device());
    if (how == 3) CHECK(must(p.target->is_idle(p.a)));
    if (how == 4) p.device->synchronize(p.a);
    p.write(p.b, p.part());
    CHECK(p.violations() == 0);
  }
}

TEST_CASE("order: a query that says no orders nothing") {
  program p;
  p.device->launch(p.a, 1'000'000 * us, {p.part()});
  must(p.target->record(p.event, p.a));
  CHECK_FALSE(must(p.target->query(p.event)));
  CHECK_FALSE(must(p.target->is_idle(p.a)));
  p.write(p.b, p.part());
  CHECK(p.violations() == 1);
}

TEST_CASE("order: readers need no order among each other, a writer after them does") {
  program p;
  p.write(p.a, p.part());
  p.device->order(p.a, p.b);
  p.read(p.a, p.part());
  p.read(p.b, p.part());
  CHECK(p.violations() == 0);
  p.write(p.a, p.part());  // not after b's read
  CHECK(p.violations() == 1);
}

TEST_CASE("order: parts of a range are told apart") {
  program p;
  p.device->order(p.a, p.b);
  p.write(p.a, p.part(0, 4096));
  p.write(p.b, p.part(4096, 4096));
  CHECK(p.violations() == 0);
  p.write(p.b, p.part(4095, 2));
  CHECK(p.violations() == 1);
}

TEST_CASE("order: a native free must come after every use") {
  program p;
  p.device->order(p.a, p.b);
  p.read(p.b, p.part(512, 512));
  must(p.target->deallocate(p.memory, p.a));
  REQUIRE(p.violations() == 1);
  CHECK(p.device->violations().front().text.find("native free") == 0);
}

TEST_CASE("order: a native free on another stream is right once ordered") {
  program p;
  p.write(p.a, p.part());
  p.device->order(p.a, p.b);
  must(p.target->deallocate(p.memory, p.b));
  CHECK(p.violations() == 0);
}

TEST_CASE("order: use after the native free is a violation") {
  program p;
  must(p.target->deallocate(p.memory, p.a));
  p.read(p.a, p.part());
  REQUIRE(p.violations() == 1);
  CHECK(p.device->violations().front().text.find("not allocated") != std::string::npos);
}

TEST_CASE("order: use after the end of its pool is a violation") {
  program p;
  auto other = p.device->make_backend();
  void* pointer = must(other->allocate(MiB, p.a));
  p.write(p.a, {pointer, MiB});
  other.reset();
  CHECK(p.violations() == 0);
  p.write(p.a, {pointer, MiB});
  CHECK(p.violations() == 1);
}

TEST_CASE("order: use beyond the end of an allocation is a violation") {
  program p;
  p.write(p.a, p.part(0, MiB + 1));
  CHECK(p.violations() == 1);
}

TEST_CASE("order: memory that comes back is the new stream's, whatever was before") {
  program p;
  p.write(p.a, p.part());
  must(p.target->deallocate(p.memory, p.a));
  must(p.target->trim(0));
  must(p.target->synchronize_device());
  void* again = must(p.target->allocate(MiB, p.b));
  p.write(p.b, {again, MiB});
  CHECK(p.violations() == 0);
}

TEST_CASE("order: direct memory is any stream's at once, and still wants order between streams") {
  program p;
  void* direct = must(p.target->allocate_direct(MiB));
  p.write(p.b, {direct, MiB});
  CHECK(p.violations() == 0);
  p.write(p.a, {direct, MiB});
  CHECK(p.violations() == 1);
  must(p.target->deallocate_direct(direct));  // synchronises
  CHECK(p.violations() == 1);
}

TEST_CASE("order: the default stream and blocking streams wait for each other") {
  program p;
  const stream_handle blocking = p.device->create_stream(false);
  p.device->order(p.a, blocking);
  p.write(blocking, p.part());
  p.write(legacy_stream(), p.part());
  p.write(blocking, p.part());
  p.write(per_thread_stream(), p.part());  // after the default stream, but not after `blocking`
  CHECK(p.violations() == 1);
}

TEST_CASE("order: the default stream and non-blocking ones do not wait for each other") {
  program p;
  p.write(p.a, p.part());
  p.write(legacy_stream(), p.part());
  CHECK(p.violations() == 1);
}

TEST_CASE("order: a stream under an old handle is not after the first one's work") {
  program p;
  p.device->launch(p.a, 1'000'000 * us, {p.part()});
  const stream_handle first = p.a;
  p.device->destroy_stream(p.a);
  const stream_handle second = p.device->create_stream();
  CHECK(second == first);
  p.write(second, p.part());
  CHECK(p.violations() == 1);
}

TEST_CASE("order: the same stream under an old handle is, once the host saw all complete") {
  program p;
  p.device->launch(p.a, 1'000'000 * us, {p.part()});
  p.device->destroy_stream(p.a);
  p.device->synchronize();
  p.write(p.device->create_stream(), p.part());
  CHECK(p.violations() == 0);
}

TEST_CASE("order: each thread's own default stream is another one") {
  program p;
  p.device->order(p.a, per_thread_stream());
  p.write(per_thread_stream(), p.part());
  std::thread([&] { p.write(per_thread_stream(), p.part()); }).join();
  CHECK(p.violations() == 1);
}

// --- host threads that are apart -------------------------------------------------------------------------------------

// What `act` does is done by another thread, which is gone when this returns.
template <class Act>
void elsewhere(Act act) {
  std::thread(act).join();
}

struct apart : program {
  apart() : program{sim::device::make({.threads_apart = true})} {}
};

TEST_CASE("order: what one thread waited for another does not know, where threads are apart") {
  apart p;
  p.write(p.a, p.part());
  elsewhere([&] { p.device->synchronize(p.a); });
  p.write(p.b, p.part());
  CHECK(p.violations() == 1);
  program q;
  q.write(q.a, q.part());
  elsewhere([&] { q.device->synchronize(); });
  q.write(q.b, q.part());
  CHECK(q.violations() == 0);
}

TEST_CASE("order: a thread knows what it waited for itself, and its streams go on with that") {
  apart p;
  p.write(p.a, p.part());
  p.device->synchronize();
  p.write(p.b, p.part());
  elsewhere([&] { p.read(p.b, p.part()); });
  CHECK(p.violations() == 0);
}

TEST_CASE("order: a lock that both held tells a thread what the other knew before") {
  apart p;
  p.write(p.a, p.part());
  const int lock = 0, other_lock = 0;
  elsewhere([&] {
    p.device->synchronize(p.a);
    p.device->hand_over(&lock);
  });
  p.device->take_over(&other_lock);
  p.read(p.b, p.part(0, 1));
  CHECK(p.violations() == 1);
  p.device->take_over(&lock);
  p.read(p.b, p.part(1, 1));
  CHECK(p.violations() == 1);
}

TEST_CASE("order: what a backend was told all threads know, as its caller hands it on") {
  apart p;
  p.write(p.a, p.part());
  p.device->advance(1000 * us);
  elsewhere([&] { CHECK(must(p.target->is_idle(p.a))); });
  p.write(p.b, p.part());
  CHECK(p.violations() == 0);
}

}  // namespace
}  // namespace weir::test
