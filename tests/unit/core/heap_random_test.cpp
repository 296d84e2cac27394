// SPDX-License-Identifier: Apache-2.0
//
// A heap against a map of what is taken: nothing is handed out twice, ages are kept, and all comes back.
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <set>

#include "core/heap.hpp"
#include "property/random_source.hpp"
#include "unit/core/regions.hpp"

using weir::core::block;
using weir::core::class_bytes;
using weir::core::epoch;
using weir::core::epoch_any;
using weir::core::granule_bytes;
using weir::core::heap;
using weir::core::range;
using weir::core::region;
using weir::core::ticket;
using weir::test::random_source;

namespace {

struct taken {
  std::size_t bytes = 0;
  range* whole = nullptr;  // null: a small block
  std::atomic<weir::core::life>* state = nullptr;
};

class heap_model {
 public:
  explicit heap_model(std::uint64_t seed) : random_(seed) {}

  void step() {
    ++now_;
    switch (random_.below(12)) {
      case 0: return add_region();
      case 1: return remove_region();
      case 2:
      case 3: return take_range();
      case 4:
      case 5: return take_blocks();
      case 6: return settle();
      default: return give();
    }
  }

  void check() {
    weir::test::check(heap_);
    REQUIRE(heap_.bytes_free() == held_ - sum() - tails() - heap_.bytes_pending());
    REQUIRE(heap_.bytes_held() == held_);
  }

  void end() {
    while (!taken_.empty()) give();
    heap_.settle([](ticket) { return true; }, 0);
    weir::test::check(heap_);
    REQUIRE(heap_.bytes_free() == held_);
    REQUIRE(heap_.empty_count() == regions_.size());
    while (heap_.remove_empty(epoch_any).where) weir::test::check(heap_);
    REQUIRE(heap_.bytes_held() == 0);
  }

 private:
  void add_region() {
    if (regions_.size() >= 6) return;
    region* r = maker_.make(static_cast<std::uint32_t>(64 + random_.below(1000)), random_.below(64) * 512);
    heap_.add_region(r, now_);
    regions_.insert(r);
    held_ += r->granules * granule_bytes;
  }
  void remove_region() {
    const epoch last_max = random_.chance(50) ? epoch_any : random_.below(now_ + 1);
    const heap::emptied gone = heap_.remove_empty(last_max);
    if (!gone.where) return;
    REQUIRE(gone.last <= last_max);
    REQUIRE(regions_.erase(gone.where) == 1);
    held_ -= gone.where->granules * granule_bytes;
  }
  void enter(std::uintptr_t at, const taken& t) {
    const auto next = taken_.lower_bound(at);
    REQUIRE((next == taken_.end() || at + t.bytes <= next->first));
    REQUIRE((next == taken_.begin() || std::prev(next)->first + std::prev(next)->second.bytes <= at));
    taken_[at] = t;
  }
  void take_range() {
    const std::size_t bytes = random_.log_uniform(4 << 20);
    const std::size_t alignment = random_.chance(70) ? 1 : granule_bytes << random_.below(7);
    const epoch last_max = random_.chance(50) ? epoch_any : random_.below(now_);
    range* r = heap_.take_range(bytes, alignment, last_max);
    if (!r) return;
    const std::uintptr_t at = r->home->at(r->first);
    REQUIRE(at % alignment == 0);
    REQUIRE(r->count * granule_bytes >= bytes);
    REQUIRE(r->last <= last_max);
    enter(at, {r->count * granule_bytes, r, nullptr});
  }
  void take_blocks() {
    const auto index = static_cast<weir::core::size_class>(random_.below(weir::core::class_count));
    const epoch last_max = random_.chance(50) ? epoch_any : random_.below(now_);
    block out[weir::core::slab_blocks_max];
    const auto wanted = static_cast<unsigned>(1 + random_.below(64));
    const unsigned count = heap_.take_blocks(index, out, wanted, last_max, random_.chance(20));
    REQUIRE(count <= wanted);
    for (unsigned i = 0; i < count; ++i)
      enter(weir::base::address(out[i].pointer), {class_bytes(index), nullptr, out[i].state});
  }
  void give() {
    if (taken_.empty()) return;
    auto at = taken_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random_.below(taken_.size())));
    const bool is_pending = random_.chance(30);
    const ticket t{static_cast<unsigned>(random_.below(3)), now_};
    if (at->second.whole) {
      if (is_pending)
        heap_.give_range_pending(at->second.whole, t);
      else
        heap_.give_range(at->second.whole, now_);
    } else {
      const region* home = home_of(at->first);
      const auto where = weir::test::place_of(*home, weir::base::pointer(at->first));
      REQUIRE(&where.slab->states[where.block] == at->second.state);
      if (is_pending)
        heap_.give_block_pending(where.slab, where.block, t);
      else
        heap_.give_block(where.slab, where.block, now_);
    }
    taken_.erase(at);
  }
  void settle() {
    const unsigned stream = static_cast<unsigned>(random_.below(3));
    const std::size_t before = heap_.bytes_pending();
    const std::size_t bytes = heap_.settle([&](ticket t) { return t.stream == stream; }, random_.chance(50) ? 0 : now_);
    REQUIRE(heap_.bytes_pending() == before - bytes);
  }
  const region* home_of(std::uintptr_t at) const {
    for (const region* r : regions_)
      if (at >= r->begin && at < r->at(r->granules)) return r;
    return nullptr;
  }
  std::size_t sum() const {
    std::size_t bytes = 0;
    for (const auto& [at, t] : taken_) bytes += t.bytes;
    return bytes;
  }
  // What slabs have behind their last block.
  std::size_t tails() const {
    std::size_t bytes = 0;
    for (const region* r : regions_)
      for (std::uint32_t g = 0; g < r->granules;) {
        const range& here = *r->table[g].load();
        if (here.kind.load() == weir::core::range_kind::slab)
          bytes += here.count * granule_bytes - here.block_count * class_bytes(here.index);
        g += here.count;
      }
    return bytes;
  }

  random_source random_;
  weir::core::range_store store_;
  weir::test::region_maker maker_;
  heap heap_{0, store_};
  std::set<region*> regions_;
  std::map<std::uintptr_t, taken> taken_;
  std::size_t held_ = 0;
  epoch now_ = 0;
};

}  // namespace

TEST_CASE("heap: random programs lose nothing and hand out nothing twice") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    heap_model model(seed);
    for (unsigned step = 0; step < 400; ++step) {
      model.step();
      model.check();
    }
    model.end();
  }
}
