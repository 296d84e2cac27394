// SPDX-License-Identifier: Apache-2.0
#include "cache/page_map.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <memory>

#include "property/random_source.hpp"

using weir::cache::page_map;
using weir::core::extent;
using weir::core::extent_kind;

namespace {

constexpr std::uintptr_t page = page_map::page_bytes;
constexpr std::uintptr_t somewhere = std::uintptr_t{7} << 44;  // where no other test, and no device, is

// An extent in the map for as long as it lives.
struct entered {
  extent e{extent_kind::region};

  entered(std::uintptr_t base, std::size_t bytes, std::size_t reach = 0) {
    e.base = base;
    e.bytes = bytes;
    e.reach = reach ? reach : bytes;
    is_in = page_map::set(e);
  }
  ~entered() { page_map::clear(e); }
  entered(const entered&) = delete;
  entered& operator=(const entered&) = delete;

  bool is_in = false;
};

}  // namespace

TEST_CASE("page map: every byte of an extent leads to it") {
  const entered a(somewhere + 512, 3 * page);
  REQUIRE(a.is_in);
  for (const std::uintptr_t at : {a.e.base, a.e.base + 1, a.e.base + page, a.e.base + a.e.bytes - 1})
    CHECK(page_map::find(at) == &a.e);
}

TEST_CASE("page map: a page of two extents leads to the right one on either side of their border") {
  const std::uintptr_t border = somewhere + 5 * page + 3 * 512;
  const entered left(border - 2 * page, 2 * page), right(border, 2 * page);
  CHECK(page_map::find(border - 1) == &left.e);
  CHECK(page_map::find(border - 512) == &left.e);
  CHECK(page_map::find(border) == &right.e);
  CHECK(page_map::find(border + page) == &right.e);
}

TEST_CASE("page map: one of two in a page goes and the other stays, in either order") {
  const std::uintptr_t border = somewhere + 9 * page + 512;
  const entered left(border - page, page);
  {
    const entered right(border, page);
    CHECK(page_map::find(border) == &right.e);
  }
  CHECK(page_map::find(border - 1) == &left.e);
  CHECK(page_map::find(border + page - 1) == nullptr);
  const entered right(border, page);
  {
    const entered far(border + page, page);
    CHECK(page_map::find(border + page) == &far.e);
  }
  CHECK(page_map::find(border + page - 1) == &right.e);
}

TEST_CASE("page map: an extent is found as far as it reaches, and does not hide the one behind it") {
  const std::uintptr_t begin = somewhere + 20 * page + 512;
  const entered next(begin + 4 * page, page);
  {
    const entered a(begin, 4 * page, page + 1);
    CHECK(page_map::find(begin) == &a.e);
    CHECK(page_map::find(begin + page) == &a.e);
    CHECK(page_map::find(begin + 2 * page) == nullptr);
    CHECK(page_map::find(begin + 4 * page - 1) == nullptr);
    CHECK(page_map::find(begin + 4 * page) == &next.e);
  }
  CHECK(page_map::find(begin) == nullptr);
  CHECK(page_map::find(begin + page) == nullptr);
  CHECK(page_map::find(begin + 4 * page) == &next.e);
}

TEST_CASE("page map: where nothing is, nothing is found") {
  CHECK(page_map::find(0) == nullptr);
  CHECK(page_map::find(1) == nullptr);
  CHECK(page_map::find(somewhere + 100 * page) == nullptr);
}

TEST_CASE("page map: an address beyond 49 bits is nobody's") {
  for (unsigned bit = 49; bit < 64; ++bit) CHECK(page_map::find(std::uintptr_t{1} << bit) == nullptr);
  CHECK(page_map::find(~std::uintptr_t{0}) == nullptr);
  // No alias of one that is there.
  const entered a(somewhere, page);
  CHECK(page_map::find(somewhere | std::uintptr_t{1} << 50) == nullptr);
}

TEST_CASE("page map: an extent that reaches beyond 49 bits is refused and leaves nothing behind") {
  const std::uintptr_t top = std::uintptr_t{1} << page_map::address_bits;
  const entered over(top - page, 2 * page);
  CHECK(!over.is_in);
  CHECK(page_map::find(top - page) == nullptr);
  const entered last(top - page, page);
  CHECK(last.is_in);
  CHECK(page_map::find(top - 1) == &last.e);
}

// What a native pool does: extents of any multiple of 512 bytes from a page on, packed, come and go.
TEST_CASE("page map: random packed extents are each found at every border") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    weir::test::random_source r(seed);
    std::map<std::uintptr_t, std::unique_ptr<entered>> all;
    for (unsigned step = 0; step < 300; ++step) {
      const std::uintptr_t at = somewhere + r.below(60 * page / 512) * 512;
      const std::size_t bytes = page + r.below(3 * page / 512) * 512;
      const auto next = all.lower_bound(at);
      std::uintptr_t begin = at;  // packed behind the one before
      if (next != all.begin()) begin = std::prev(next)->first + std::prev(next)->second->e.bytes;
      if (next == all.end() || begin + bytes <= next->first)
        all.emplace(begin, std::make_unique<entered>(begin, bytes));
      else
        all.erase(next);
      for (const auto& [base, one] : all) {
        REQUIRE(page_map::find(base) == &one->e);
        REQUIRE(page_map::find(base + one->e.bytes - 1) == &one->e);
      }
    }
  }
}
