// SPDX-License-Identifier: Apache-2.0
//
// Many sizes and alignments: what is handed out is aligned, large enough, wastes little, and overlaps nothing.
#include <cmath>
#include <random>
#include <vector>

#include "core/size_class.hpp"
#include "scene.hpp"

namespace weir::test {
namespace {

// Every boundary of a small class with its neighbours, then eight sizes a doubling with theirs, up to 1 GiB.
std::vector<std::size_t> boundaries() {
  std::vector<std::size_t> sizes{1, 2, 255};
  const auto around = [&](std::size_t bytes) {
    for (const std::size_t b : {bytes - 1, bytes, bytes + 1}) sizes.push_back(b);
  };
  for (unsigned i = 0; i < core::class_count; ++i) around(core::class_bytes(i));
  for (std::size_t doubling = MiB; doubling < GiB; doubling *= 2)
    for (std::size_t eighth = 1; eighth <= 8; ++eighth) around(doubling + doubling / 8 * eighth);
  return sizes;
}

bool is_aligned(const void* p, std::size_t alignment) { return reinterpret_cast<std::uintptr_t>(p) % alignment == 0; }

TEST_CASE("sizes: around every class boundary, 1 byte to 1 GiB, each block can be written whole") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : boundaries()) {
    INFO(bytes);
    void* p = s.get(bytes, stream);
    REQUIRE(is_aligned(p, pool::alignment_default));
    s.put(p, bytes, stream);
  }
  CHECK(s.pool.statistics().allocated == 0);
}

TEST_CASE("sizes: rounding wastes at most an eighth over the size rounded to 256 bytes") {
  scene s;
  const weir::stream stream = s.make_stream();
  for (const std::size_t bytes : boundaries()) {
    INFO(bytes);
    void* p = s.get(bytes, stream);
    const std::size_t has = s.pool.statistics().allocated;
    const std::size_t rounded = (bytes + 255) / 256 * 256;
    REQUIRE(has >= bytes);
    REQUIRE(has <= rounded + rounded / 8);
    s.put(p, bytes, stream);
    s.device->synchronize();
    must(s.pool.trim(0));  // what is kept may serve a smaller request: another bound
  }
}

TEST_CASE("alignment: powers of two up to 1 GiB are kept, for small, medium and big blocks, and all can be freed") {
  scene s;
  const weir::stream stream = s.make_stream();
  live_ranges live;
  for (std::size_t alignment = 1; alignment <= pool::alignment_max; alignment *= 2) {
    std::vector<std::pair<void*, std::size_t>> blocks;
    for (const std::size_t bytes :
         {std::size_t{1}, std::size_t{300}, 5 * KiB, 100 * KiB, 3 * MiB, 16 * MiB, 40 * MiB}) {
      INFO(bytes << " bytes aligned to " << alignment);
      void* p = s.get(bytes, stream, alignment);
      REQUIRE(is_aligned(p, alignment));
      REQUIRE(is_aligned(p, pool::alignment_default));
      REQUIRE(live.add(p, bytes));
      blocks.emplace_back(p, bytes);
    }
    for (const auto& [p, bytes] : blocks) {
      INFO(bytes << " bytes aligned to " << alignment);
      live.remove(p);
      s.put(p, bytes, stream);
    }
  }
  CHECK(s.pool.statistics().allocated == 0);
  s.device->synchronize();
  must(s.pool.trim(0));
  CHECK(s.pool.statistics().reserved == 0);
}

// Native blocks are packed at 512 bytes, so an aligned block may begin anywhere in one: as near its end as can be.
TEST_CASE("alignment: a small block aligned far is found again wherever the native pool put it") {
  for (const std::size_t shift : {std::size_t{512}, std::size_t{1024}, 1 * MiB, 2 * MiB - 512, 32 * MiB + 512}) {
    for (const std::size_t alignment : {32 * MiB, 64 * MiB, 128 * MiB}) {
      INFO("aligned to " << alignment << ", shifted by " << shift);
      scene s;
      const weir::stream stream = s.make_stream();
      void* shifts = s.get(128 * MiB + shift, stream);
      void* p = s.get(256, stream, alignment);
      CHECK(is_aligned(p, alignment));
      CHECK(why(s.pool.record_use(p, stream)) == errc::ok);
      s.put(p, 256, stream);
      s.put(shifts, 128 * MiB + shift, stream);
    }
  }
}

struct block {
  void* begin;
  std::size_t bytes;
};

TEST_CASE("alignment: a kept block serves only where it would be found again") {
  scene s;
  const weir::stream stream = s.make_stream();
  void* before = s.get(20 * MiB, stream);  // so that no begin is a multiple of 64 MiB
  void* kept = s.get(100 * MiB, stream);
  void* behind = s.get(20 * MiB, stream);
  s.put(kept, 100 * MiB, stream);
  void* p = s.get(30 * MiB, stream, 64 * MiB);
  CHECK(reinterpret_cast<std::uintptr_t>(p) % (64 * MiB) == 0);
  s.put(p, 30 * MiB, stream);
  s.put(before, 20 * MiB, stream);
  s.put(behind, 20 * MiB, stream);
}

TEST_CASE("overlap: of a random mix of sizes and alignments, no two live blocks share a byte") {
  scene s({}, {.bytes_total = 16 * GiB});
  const weir::stream stream = s.make_stream();
  std::mt19937 random(1);
  std::uniform_real_distribution<double> exponent(0, 26);
  std::vector<block> blocks;
  live_ranges live;
  for (int i = 0; i < 6000; ++i) {
    if (blocks.size() > 60 && random() % 2) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      live.remove(blocks.back().begin);
      s.put(blocks.back().begin, blocks.back().bytes, stream);
      blocks.pop_back();
      continue;
    }
    const auto bytes = static_cast<std::size_t>(std::exp2(exponent(random)));
    const std::size_t alignment = random() % 8 ? 256 : std::size_t{1} << random() % 23;
    INFO("step " << i << ": " << bytes << " bytes aligned to " << alignment);
    void* p = s.get(bytes, stream, alignment);
    REQUIRE(is_aligned(p, alignment));
    REQUIRE(live.add(p, bytes));
    blocks.push_back({p, bytes});
  }
  for (const block& b : blocks) s.put(b.begin, b.bytes, stream);
  CHECK(s.pool.statistics().allocated == 0);
}

}  // namespace
}  // namespace weir::test
