// SPDX-License-Identifier: Apache-2.0
#include "cache/thread_table.hpp"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <thread>
#include <vector>

using weir::cache::block_cache;
using weir::cache::cache_home;
using weir::cache::thread_table;

namespace {

// A stream as the table knows it: an address that it keeps, and a stream number.
using stream_key = std::shared_ptr<const std::uint64_t>;

stream_key fresh_stream() {
  static std::atomic<std::uint64_t> last{0};
  return std::make_shared<std::uint64_t>(++last);
}

block_cache* find(const stream_key& s) { return thread_table::find(s.get(), *s); }

bool add(const stream_key& s, std::shared_ptr<block_cache> cache, std::weak_ptr<cache_home> home) {
  return thread_table::add(s.get(), s, std::move(cache), std::move(home));
}

struct counting_home final : cache_home {
  std::vector<block_cache*> came;
  void thread_exits(block_cache& c) noexcept override { came.push_back(&c); }
};

std::shared_ptr<block_cache> a_cache() { return std::make_shared<block_cache>(1 << 20, 0, nullptr); }

}  // namespace

TEST_CASE("thread table: what was added is found, by its own stream alone") {
  std::thread([] {
    const auto home = std::make_shared<counting_home>();
    const auto a = a_cache(), b = a_cache();
    const stream_key one = fresh_stream(), two = fresh_stream();
    CHECK(find(one) == nullptr);
    CHECK(add(one, a, home));
    CHECK(add(two, b, home));
    for (unsigned i = 0; i < 3; ++i) {
      CHECK(find(one) == a.get());
      CHECK(find(two) == b.get());
    }
    CHECK(find(fresh_stream()) == nullptr);
  }).join();
}

TEST_CASE("thread table: the stream used last is found at first sight, and no other") {
  std::thread([] {
    const auto a = a_cache(), b = a_cache();
    const stream_key one = fresh_stream(), two = fresh_stream();
    CHECK(thread_table::find_last(nullptr) == nullptr);
    add(one, a, {});
    add(two, b, {});
    CHECK(thread_table::find_last(one.get()) == nullptr);
    find(one);
    CHECK(thread_table::find_last(one.get()) == a.get());
    CHECK(thread_table::find_last(two.get()) == nullptr);
    find(two);
    CHECK(thread_table::find_last(two.get()) == b.get());
    CHECK(thread_table::find_last(one.get()) == nullptr);
  }).join();
}

TEST_CASE("thread table: more streams than it has places for are all found, again and again") {
  std::thread([] {
    std::vector<stream_key> streams;
    std::vector<std::shared_ptr<block_cache>> caches;
    for (unsigned i = 0; i < 40; ++i) {
      streams.push_back(fresh_stream());
      caches.push_back(a_cache());
      add(streams.back(), caches.back(), {});
    }
    for (unsigned round = 0; round < 3; ++round)
      for (unsigned i = 0; i < 40; ++i) CHECK(find(streams[i]) == caches[i].get());
  }).join();
}

TEST_CASE("thread table: a stream's state lives as long as its entry, so no other has its address") {
  std::thread([] {
    auto stream = fresh_stream();
    const std::weak_ptr<const std::uint64_t> alive = stream;
    auto cache = a_cache();
    add(stream, cache, {});
    stream.reset();
    CHECK(!alive.expired());
    cache->is_dead = true;
    add(fresh_stream(), a_cache(), {});
    CHECK(alive.expired());
  }).join();
}

TEST_CASE("thread table: a thread does not see another's") {
  const stream_key stream = fresh_stream();
  std::thread([&] {
    CHECK(add(stream, a_cache(), {}));
    std::thread([&] { CHECK(find(stream) == nullptr); }).join();
    CHECK(find(stream) != nullptr);
  }).join();
}

TEST_CASE("thread table: at its end a thread brings each cache home, once") {
  const auto home = std::make_shared<counting_home>();
  const auto a = a_cache(), b = a_cache();
  std::thread([&] {
    add(fresh_stream(), a, home);
    add(fresh_stream(), b, home);
  }).join();
  CHECK(home->came == std::vector<block_cache*>{a.get(), b.get()});
}

TEST_CASE("thread table: a dead cache is not brought home, and goes when the next is added") {
  const auto home = std::make_shared<counting_home>();
  std::weak_ptr<block_cache> gone;
  std::thread([&] {
    auto dead = a_cache();
    gone = dead;
    add(fresh_stream(), dead, home);
    dead->is_dead = true;
    dead.reset();
    CHECK(!gone.expired());
    add(fresh_stream(), a_cache(), {});
    CHECK(gone.expired());
  }).join();
  CHECK(home->came.empty());
}

TEST_CASE("thread table: a cache found last and then dropped is not found again") {
  std::thread([] {
    const stream_key stream = fresh_stream();
    auto dead = a_cache();
    add(stream, dead, {});
    CHECK(find(stream) == dead.get());
    dead->is_dead = true;
    add(fresh_stream(), a_cache(), {});
    CHECK(find(stream) == nullptr);
  }).join();
}

TEST_CASE("thread table: a home that is gone is not asked for") {
  auto home = std::make_shared<counting_home>();
  const auto cache = a_cache();
  std::thread([&] {
    add(fresh_stream(), cache, home);
    home.reset();
  }).join();
  CHECK(cache.use_count() == 1);
}

TEST_CASE("thread table: forgotten caches are not brought home") {
  const auto home = std::make_shared<counting_home>();
  std::thread([&] {
    const stream_key stream = fresh_stream();
    add(stream, a_cache(), home);
    CHECK(find(stream) != nullptr);
    thread_table::forget();
    CHECK(find(stream) == nullptr);
  }).join();
  CHECK(home->came.empty());
}

namespace {

// Destroyed after the table's own guard where it was made before it.
struct late {
  bool* was_refused = nullptr;
  ~late() {
    if (was_refused) *was_refused = !add(fresh_stream(), a_cache(), {});
  }
};

}  // namespace

TEST_CASE("thread table: a thread that ends gets no more caches") {
  bool was_refused = false;
  std::thread([&] {
    thread_local late last;
    last.was_refused = &was_refused;
    add(fresh_stream(), a_cache(), {});
  }).join();
  CHECK(was_refused);
}
