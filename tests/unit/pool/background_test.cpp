// SPDX-License-Identifier: Apache-2.0
//
// The pool's own thread: that it runs, wakes, stops, and is nothing in a child after fork.
#include "pool/background.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "scene.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using detail::background;
using clock = std::chrono::steady_clock;

constexpr std::size_t big = 64 * MiB;
constexpr auto patience = 20s;  // of a test that would else hang; none takes long when all is well

template <class Fact>
bool becomes(Fact fact) {
  const auto end = clock::now() + patience;
  while (!fact()) {
    if (clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

unsigned threads_called(const std::string& name) {
  unsigned count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream in(task.path() / "comm");
    std::string comm;
    std::getline(in, comm);
    count += comm == name;
  }
  return count;
}

// Runs in a child, which leaves with what it answers; -1 where it died otherwise, or hung.
template <class Act>
int in_child(Act act) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(act());
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

TEST_CASE("background: ticks run in turn, again and again, until it is stopped") {
  std::atomic<int> first{0}, second{0}, out_of_turn{0};
  background b;
  must(b.start(1ms, {[&] { ++first; }, [&] { out_of_turn += ++second != first; }}));
  CHECK(becomes([&] { return second >= 5; }));
  b.stop();
  const int after = first;
  CHECK(second == after);
  CHECK(out_of_turn == 0);
  std::this_thread::sleep_for(5ms);
  CHECK(first == after);
  b.stop();  // again is nothing
}

TEST_CASE("background: no period or no tick, no thread") {
  const unsigned before = threads_called("weir");
  background none, idle;
  must(none.start(0ms, {[] {}}));
  must(idle.start(1ms, {}));
  CHECK(threads_called("weir") == before);
  none.wake();
  none.stop();
}

TEST_CASE("background: it has a name, and takes no signals") {
  const unsigned before = threads_called("weir");
  std::atomic<int> blocked{-1};
  {
    background b;
    must(b.start(1h, {[&] {
                   sigset_t mask;
                   pthread_sigmask(SIG_SETMASK, nullptr, &mask);
                   blocked = sigismember(&mask, SIGINT) && sigismember(&mask, SIGUSR1);
                 }}));
    CHECK(becomes([&] { return blocked >= 0; }));
    CHECK(threads_called("weir") == before + 1);
  }
  CHECK(threads_called("weir") == before);
  CHECK(blocked == 1);
  sigset_t mine;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  CHECK_FALSE(sigismember(&mine, SIGUSR1));
}

TEST_CASE("background: woken, it does not wait for its period; and no call is lost") {
  std::atomic<int> ticks{0};
  background b;
  must(b.start(1h, {[&] { ++ticks; }}));
  CHECK(becomes([&] { return ticks >= 1; }));
  for (int i = 0; i < 300; ++i) {
    const int before = ticks;
    b.wake();
    if (!becomes([&] { return ticks > before; })) FAIL("a call was lost");
    if (i % 64) continue;
    std::this_thread::sleep_for(100us);  // so that it is asleep now and then
  }
}

TEST_CASE("background: it stops at once, whatever the period, and in the middle of a tick at its end") {
  std::atomic<bool> is_in{false}, was_in{false};
  background slow;
  must(slow.start(1h, {[&] {
                    is_in = true;
                    std::this_thread::sleep_for(20ms);
                    was_in = true;
                  }}));
  CHECK(becomes([&] { return is_in.load(); }));
  const auto began = clock::now();
  slow.stop();
  CHECK(was_in);
  CHECK(clock::now() - began < patience);
}

TEST_CASE("background: a pool's thread runs its policies, and goes with the pool") {
  const unsigned before = threads_called("weir");
  {
    scene s({.trim = {release_above(2 * big)}, .background = 1ms, .big_cache_share = 1});
    CHECK(becomes([&] { return threads_called("weir") == before + 1; }));
    const weir::stream stream = s.make_stream();
    std::vector<void*> blocks;
    for (int i = 0; i < 8; ++i) blocks.push_back(s.get(big, stream));
    for (void* p : blocks) s.put(p, big, stream);
    s.device->synchronize();
    CHECK(becomes([&] {
      s.device->advance(1'000'000);
      return s.pool.statistics().reserved <= 2 * big;
    }));
  }
  CHECK(threads_called("weir") == before);
}

TEST_CASE("background: a pool's thread goes by virtual time") {
  scene s({.trim = {decay(1s)}, .background = 1ms, .big_cache_share = 1});
  const weir::stream stream = s.make_stream();
  s.put(s.get(8 * big, stream), 8 * big, stream);
  s.device->synchronize();
  std::this_thread::sleep_for(20ms);
  CHECK(s.pool.statistics().reserved == 8 * big);
  CHECK(becomes([&] {
    s.device->advance(50'000'000);
    return s.pool.statistics().reserved <= 4 * big + 32 * MiB;
  }));
  CHECK(s.device->now_ns() >= 700'000'000);
}

TEST_CASE("background: without a period, or with nothing to do, a pool has no thread") {
  const unsigned before = threads_called("weir");
  scene without({.trim = {decay(1s)}});
  scene idle({.background = 1ms});
  CHECK(threads_called("weir") == before);
}

class end_watch final : public observer {
 public:
  void on_leak(const leak_event&) noexcept override { threads = static_cast<int>(threads_called("weir")); }
  int threads = -1;
};

TEST_CASE("background: it is gone before the pool's end begins") {
  const int before = static_cast<int>(threads_called("weir"));
  const auto watch = std::make_shared<end_watch>();
  auto device = sim::device::make();
  {
    pool p = pool::make(device->make_backend(), {.trim = {release_above(0)}, .background = 1ms, .observer = watch});
    const weir::stream stream = must(p.stream(device->create_stream()));
    (void)p.allocate(3000, stream);
    CHECK(becomes([&] { return static_cast<int>(threads_called("weir")) == before + 1; }));
  }
  CHECK(watch->threads == before);
}

// Registered before the thread is made, so it runs after what stops the thread: as a driver's own end would.
std::atomic<int> ticks_at_exit{0};

void check_at_exit() {
  const int now = ticks_at_exit;
  std::this_thread::sleep_for(5ms);
  _exit(now > 0 && ticks_at_exit == now ? 7 : 8);
}

TEST_CASE("background: at exit it is stopped before what was there before it goes") {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    std::atexit(check_at_exit);
    auto* leaked = new background;
    (void)leaked->start(100us, {[] { ++ticks_at_exit; }}).has_value();
    while (ticks_at_exit == 0) std::this_thread::yield();
    std::exit(9);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}

// The backend that a child must not end: known here, or valgrind calls it lost.
weir::backend* volatile left_to_parent = nullptr;

TEST_CASE("background: in a child after fork there is none, and the pool's end does not wait for it") {
  auto device = sim::device::make();
  auto pool = std::make_unique<weir::pool>(
      weir::pool::make(device->make_backend(), {.trim = {release_above(0)}, .background = 1ms}));
  const weir::stream stream = must(pool->stream(device->create_stream()));
  pool->deallocate(pool->allocate(big, stream), stream);
  for (int i = 0; i < 20; ++i) {  // at whatever the thread is at
    const int wrong = in_child([&] {
      if (threads_called("weir") != 0) return 1;
      const auto p = pool->try_allocate(big, stream);
      if (p || p.error().code != errc::forked) return 2;
      left_to_parent = &pool->backend();
      pool.reset();
      return 0;
    });
    CHECK(wrong == 0);
  }
  CHECK(threads_called("weir") == 1);
}

std::optional<weir::pool> static_pool;
weir::pool* volatile leaked_pool = nullptr;  // so that no sanitizer calls it lost

TEST_CASE("background: a static pool that has one ends quietly, and so does one that is never destroyed") {
  for (const bool is_leaked : {false, true}) {
    std::fflush(nullptr);  // or the child says it again
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      const auto device = sim::device::make();
      const pool_options options{.trim = {release_above(0)}, .background = 1ms};
      if (is_leaked)
        leaked_pool = new weir::pool(pool::make(device->make_backend(), options));
      else
        static_pool.emplace(pool::make(device->make_backend(), options));
      std::this_thread::sleep_for(3ms);
      std::exit(7);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
  }
}

}  // namespace
}  // namespace weir::test
