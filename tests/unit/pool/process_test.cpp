// SPDX-License-Identifier: Apache-2.0
//
// A pool belongs to the process that made it: what a child gets after fork, and what happens at exit.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "scene.hpp"

namespace weir::test {
namespace {

constexpr std::size_t small = 3000, medium = 3 * MiB, big = 64 * MiB;

// Runs in a child, which leaves with what it answers; -1 where it died otherwise, or hung.
int in_child(const std::function<int()>& act) {
  std::fflush(nullptr);  // or the child says it again
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(act());
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

bool is_forked(const auto& answer) { return !answer && answer.error().code == errc::forked; }

TEST_CASE("fork: in the child every call answers so: hits, heap hits, misses, frees") {
  scene s;
  const weir::stream stream = s.make_stream();
  const raw_stream raw = stream.handle();
  void* blocks[] = {s.get(small, stream), s.get(medium, stream), s.get(big, stream)};
  for (const std::size_t bytes : {small, medium, big}) s.put(s.get(bytes, stream), bytes, stream);
  void* direct = s.pool.allocate_direct(small);
  const int wrong_at = in_child([&] {
    int step = 0;
    for (const std::size_t bytes : {small, medium, big, 4 * big}) {
      if (++step; !is_forked(s.pool.try_allocate(bytes, stream))) return step;
      if (++step; !is_forked(s.pool.try_allocate(bytes, raw))) return step;
    }
    for (void* p : blocks) {
      if (++step; !is_forked(s.pool.try_deallocate(p, stream))) return step;
      if (++step; !is_forked(s.pool.record_use(p, stream))) return step;
    }
    if (++step; !is_forked(s.pool.try_allocate_direct(small))) return step;
    if (++step; !is_forked(s.pool.try_deallocate_direct(direct))) return step;
    if (++step; !is_forked(s.pool.try_deallocate(direct, stream))) return step;
    if (++step; !is_forked(s.pool.stream(raw))) return step;
    if (++step; !is_forked(s.pool.retire(stream))) return step;
    if (++step; !is_forked(s.pool.trim(0))) return step;
    if (++step; !is_forked(s.pool.trim())) return step;
    if (++step; !is_forked(s.pool.defragment())) return step;
    if (++step; !is_forked(s.pool.set_bytes_max(GiB))) return step;
    return 0;
  });
  CHECK(wrong_at == 0);
  const std::size_t bytes[] = {small, medium, big};
  for (int i = 0; i < 3; ++i) s.put(blocks[i], bytes[i], stream);
  s.pool.deallocate_direct(direct);
  CHECK(s.pool.statistics().allocated == 0);
}

// The backend that a child must not end: known here, or valgrind calls it lost. Volatile, or nobody reads it and the
// compiler drops it.
weir::backend* volatile left_to_parent = nullptr;

TEST_CASE("fork: the child makes no native call, not when the pool ends there either") {
  auto device = sim::device::make();
  auto pool = std::make_unique<weir::pool>(pool::make(device->make_backend()));
  const weir::stream a = must(pool->stream(device->create_stream()));
  const weir::stream b = must(pool->stream(device->create_stream()));
  void* p = pool->allocate(big, a);
  device->launch(a.handle(), long_ns, {{p, big}});
  pool->deallocate(p, a);
  pool->deallocate(pool->allocate(small, b), b);
  must(pool->retire(b));  // an event is there
  const int wrong = in_child([&] {
    const std::uint64_t time = device->now_ns();
    const stream_handle own = pool->backend().own_stream();
    (void)pool->try_allocate(small, a).has_value();
    left_to_parent = &pool->backend();
    pool.reset();
    if (device->now_ns() != time) return 1;
    device->launch(own, 0, {});  // it is the parent's, and still there
    return device->violations().empty() ? 0 : 2;
  });
  CHECK(wrong == 0);
}

TEST_CASE("fork: a pool made in the child works there") {
  scene s;
  const weir::stream stream = s.make_stream();
  s.put(s.get(small, stream), small, stream);
  const int wrong = in_child([&] {
    const auto device = sim::device::make();
    weir::pool mine = pool::make(device->make_backend());
    const auto on = mine.stream(device->create_stream());
    for (const std::size_t bytes : {small, medium, big}) {
      const auto p = on ? mine.try_allocate(bytes, *on) : result<void*>(error{});
      if (!p || !mine.try_deallocate(*p, bytes, *on)) return 1;
    }
    return mine.statistics().allocated == 0 ? 0 : 2;
  });
  CHECK(wrong == 0);
  s.put(s.get(small, stream), small, stream);
}

std::optional<weir::pool> static_pool;
weir::stream static_stream;

// The status of a child that has to end by std::exit.
int exit_of(const std::function<void()>& act) {
  return in_child([&] {
    act();
    return 99;
  });
}

void make_static_pool() {
  const auto device = sim::device::make();
  static_pool.emplace(pool::make(device->make_backend()));
  static_stream = *static_pool->stream(device->create_stream());
}

// Of every size one live and one cached.
void leave_blocks() {
  for (const std::size_t bytes : {small, medium, big}) {
    (void)static_pool->allocate(bytes, static_stream);
    static_pool->deallocate(static_pool->allocate(bytes, static_stream), static_stream);
  }
}

TEST_CASE("exit: a static pool with live and cached blocks ends quietly") {
  CHECK(exit_of([] {
          make_static_pool();
          leave_blocks();
          std::exit(7);
        }) == 7);
}

TEST_CASE("exit: from another thread than main, the caches of both full") {
  CHECK(exit_of([] {
          make_static_pool();
          leave_blocks();
          std::thread([] {
            leave_blocks();
            std::exit(7);
          }).join();
        }) == 7);
}

// The pool is never destroyed, so its threads may go on until the process is gone.
TEST_CASE("exit: in the middle of other threads' hits and misses") {
  CHECK(exit_of([] {
          make_static_pool();
          static auto* const left = new weir::pool(std::move(*static_pool));
          static auto* const stream = new weir::stream(static_stream);
          static std::atomic<int> at_work{0};
          for (int i = 0; i < 3; ++i)
            std::thread([] {
              for (std::uint64_t n = 0;; ++n) {
                if (n == 1000) ++at_work;
                const std::size_t bytes = n % 64 ? small : medium;
                void* p = left->allocate(bytes, *stream);
                left->deallocate(p, bytes, *stream);
              }
            }).detach();
          while (at_work < 3) std::this_thread::yield();
          std::exit(7);
        }) == 7);
}

// A destructor that runs after main gives its block back to a pool that is still there.
struct block_of_a_thread {
  ~block_of_a_thread() {
    if (p) static_pool->deallocate(p, small, static_stream);
  }
  void* p = nullptr;
};
thread_local block_of_a_thread mine;

TEST_CASE("exit: thread-local owners of blocks go after the thread's caches, and before a static pool") {
  CHECK(exit_of([] {
          make_static_pool();
          mine.p = static_pool->allocate(small, static_stream);
          std::thread([] { mine.p = static_pool->allocate(small, static_stream); }).join();
          if (static_pool->statistics().live_count != 1) _exit(1);
          std::exit(7);
        }) == 7);
}

}  // namespace
}  // namespace weir::test
