// SPDX-License-Identifier: Apache-2.0
//
// Peers and exports where there is no GPU: what a pool tells of its blocks, what it refuses, and what an importer makes
// of it, on a stand-in for the driver's import that counts.
#include "weir/sharing.hpp"

#include <atomic>
#include <cstring>
#include <map>
#include <thread>

#include "scene.hpp"
#include "weir/pools.hpp"

namespace weir::test {
namespace {

// --- peers ----------------------------------------------------------------------------------------------------------

weir::pools pools_on(std::vector<std::shared_ptr<sim::device>> devices) {
  const int count = static_cast<int>(devices.size());
  return {count, [devices](int device) -> result<std::unique_ptr<backend>> {
            return devices[static_cast<std::size_t>(device)]->make_backend();
          }};
}

TEST_CASE("peers: a pool lets in who can reach it, itself always") {
  scene can({}, {.has_peers = true});
  CHECK(why(can.pool.allow_peer(0)) == errc::ok);
  CHECK(why(can.pool.allow_peer(3)) == errc::ok);
  CHECK(why(can.pool.allow_peer(-1)) == errc::no_such_device);
  scene cannot;
  CHECK(why(cannot.pool.allow_peer(0)) == errc::ok);
  const auto refusal = cannot.pool.allow_peer(1);
  REQUIRE(why(refusal) == errc::not_supported);
  CHECK(refusal.error().message().find("peer access") != std::string::npos);
  CHECK(why(pool().allow_peer(0)) == errc::null_pool);
}

TEST_CASE("peers: pools let everybody in, and are made for it") {
  auto pools = pools_on(
      {sim::device::make({.ordinal = 0, .has_peers = true}), sim::device::make({.ordinal = 1, .has_peers = true})});
  CHECK(why(pools.allow_peers()) == errc::ok);
  CHECK(pools.statistics().pools == 2);
}

TEST_CASE("peers: of several pairs the first that cannot is answered, and the others were tried") {
  const auto lost = sim::device::make({.ordinal = 1, .has_peers = true});
  auto pools = pools_on({sim::device::make({.ordinal = 0}), lost, sim::device::make({.ordinal = 2})});
  must(pools.on(1));
  lost->inject(sim::fault::sticky, 1);
  CHECK(why(pools.allow_peers()) == errc::not_supported);  // device 0's, before the lost one's
  CHECK(pools.statistics().pools == 3);
}

// --- export ---------------------------------------------------------------------------------------------------------

TEST_CASE("export: a simulated device says why it cannot") {
  scene s;
  const auto stream = s.make_stream();
  void* small = s.pool.allocate(1000, stream);
  const auto pool = s.pool.export_pool();
  REQUIRE(why(pool) == errc::not_supported);
  CHECK(pool.error().message().find("simulated device") != std::string::npos);
  CHECK(why(s.pool.export_block(small)) == errc::not_supported);
  s.pool.deallocate(small, stream);
}

TEST_CASE("export: what is no live block's beginning, or outside the native pool, is refused") {
  scene s;
  const auto stream = s.make_stream();
  for (const std::size_t bytes : {std::size_t{1000}, 3 * MiB, 40 * MiB}) {
    CAPTURE(bytes);
    void* block = s.pool.allocate(bytes, stream);
    CHECK(why(s.pool.export_block(block)) == errc::not_supported);  // by the simulated device: it was found
    CHECK(why(s.pool.export_block(offset(block, 256))) == errc::foreign_pointer);
    s.pool.deallocate(block, stream);
    CHECK(why(s.pool.export_block(block)) == errc::foreign_pointer);
  }
  void* direct = s.pool.allocate_direct(1000);
  const auto refusal = s.pool.export_block(direct);
  REQUIRE(why(refusal) == errc::not_supported);
  CHECK(refusal.error().message().find("direct block") != std::string::npos);
  s.pool.deallocate_direct(direct);
  int mine = 0;
  CHECK(why(s.pool.export_block(&mine)) == errc::foreign_pointer);
  CHECK(why(s.pool.export_block(nullptr)) == errc::foreign_pointer);
  CHECK(why(pool().export_block(&mine)) == errc::null_pool);
  CHECK(why(pool().export_pool()) == errc::null_pool);
}

// --- import ---------------------------------------------------------------------------------------------------------

// What the driver does for an importer, as far as it can be seen: an allocation is mapped once at a time, and what is
// unmapped has been waited for.
struct importing {
  std::map<std::uint64_t, int> mapped{};  // by the exporter's address: maps less unmaps
  int maps = 0, unmaps = 0, waits_at_last_unmap = 0;
  std::atomic<int> waits = 0;  // the only call that is not made under the import's lock
  errc refuse_map = errc::ok, refuse_wait = errc::ok;
  int peer = -1;
  bool closed = false;
};

constexpr std::uint64_t distance = 0x1000000000;

class counted_import final : public native_import {
 public:
  explicit counted_import(importing& seen) : seen_(seen) {}
  ~counted_import() override { seen_.closed = true; }
  result<void*> map(const exported_allocation& what) noexcept override {
    if (seen_.refuse_map != errc::ok) return error{.code = seen_.refuse_map};
    std::uint64_t at = 0;
    std::memcpy(&at, what.data(), sizeof at);
    ++seen_.maps;
    ++seen_.mapped[at];
    return reinterpret_cast<void*>(at + distance);
  }
  result<void> unmap(void* pointer) noexcept override {
    ++seen_.unmaps;
    --seen_.mapped[reinterpret_cast<std::uint64_t>(pointer) - distance];
    seen_.waits_at_last_unmap = seen_.waits;
    return {};
  }
  result<void> synchronize_device() noexcept override {
    ++seen_.waits;
    if (seen_.refuse_wait != errc::ok) return error{.code = seen_.refuse_wait};
    return {};
  }
  result<void> allow_access(int peer) noexcept override {
    seen_.peer = peer;
    return {};
  }

 private:
  importing& seen_;
};

exported_block block_at(std::uint64_t allocation, std::uint64_t offset, std::uint64_t bytes = 512) {
  exported_block out{.allocation = allocation, .allocation_bytes = 64 * MiB, .offset = offset, .bytes = bytes};
  std::memcpy(out.native.data(), &allocation, sizeof allocation);
  return out;
}

std::uint64_t address(const imported_block& b) { return reinterpret_cast<std::uint64_t>(b.pointer()); }

TEST_CASE("import: blocks of one native allocation share its import, which ends with the last") {
  importing seen;
  imported_pool pool(std::make_unique<counted_import>(seen));
  auto a = must(pool.import_block(block_at(0x70000000, 4096)));
  auto b = must(pool.import_block(block_at(0x70000000, 8192, 1024)));
  auto other = must(pool.import_block(block_at(0x90000000, 0)));
  CHECK(address(a) == 0x70000000 + distance + 4096);
  CHECK(address(b) == 0x70000000 + distance + 8192);
  CHECK(b.bytes() == 1024);
  CHECK(seen.maps == 2);
  must(a.release());
  CHECK(seen.waits == 1);
  CHECK(seen.unmaps == 0);
  must(b.release());
  CHECK(seen.waits == 2);
  CHECK(seen.unmaps == 1);
  CHECK(seen.waits_at_last_unmap == 2);
  CHECK(b.pointer() == nullptr);
  CHECK(b.bytes() == 0);
  must(b.release());
  CHECK(seen.waits == 2);
  auto again = must(pool.import_block(block_at(0x70000000, 0)));
  CHECK(seen.maps == 3);
}

TEST_CASE("import: a block lets go by itself, and keeps its pool until then") {
  importing seen;
  {
    imported_block kept;
    {
      imported_pool pool(std::make_unique<counted_import>(seen));
      kept = must(pool.import_block(block_at(0x70000000, 0)));
      const imported_block dropped = must(pool.import_block(block_at(0x90000000, 0)));
    }
    CHECK(seen.unmaps == 1);
    CHECK_FALSE(seen.closed);
    imported_block moved(std::move(kept));
    CHECK(kept.pointer() == nullptr);
    CHECK(address(moved) == 0x70000000 + distance);
    kept = std::move(moved);
    CHECK(address(kept) == 0x70000000 + distance);
    CHECK(seen.unmaps == 1);
  }
  CHECK(seen.unmaps == 2);
  CHECK(seen.closed);
}

TEST_CASE("import: what the driver refuses is answered, and nothing stays of it") {
  importing seen{.refuse_map = errc::not_supported};
  imported_pool pool(std::make_unique<counted_import>(seen));
  CHECK(why(pool.import_block(block_at(0x70000000, 0))) == errc::not_supported);
  seen.refuse_map = errc::ok;
  auto block = must(pool.import_block(block_at(0x70000000, 0)));
  CHECK(seen.maps == 1);
  seen.refuse_wait = errc::device_lost;
  CHECK(why(block.release()) == errc::device_lost);
  CHECK(seen.unmaps == 1);
  must(pool.allow_peer(1));
  CHECK(seen.peer == 1);
}

TEST_CASE("import: a block that lies in no allocation, and one of another size of it, are refused") {
  importing seen;
  imported_pool pool(std::make_unique<counted_import>(seen));
  CHECK(why(pool.import_block({})) == errc::invalid_argument);
  CHECK(why(pool.import_block(block_at(0x70000000, 64 * MiB))) == errc::invalid_argument);
  CHECK(why(pool.import_block(block_at(0x70000000, 64 * MiB - 256))) == errc::invalid_argument);
  CHECK(why(pool.import_block(block_at(0x70000000, ~std::uint64_t{0} - 100))) == errc::invalid_argument);
  CHECK(seen.maps == 0);
  const auto live = must(pool.import_block(block_at(0x70000000, 64 * MiB - 512)));
  auto stale = block_at(0x70000000, 0);
  stale.allocation_bytes = 32 * MiB;
  CHECK(why(pool.import_block(stale)) == errc::invalid_argument);
  CHECK(seen.maps == 1);
}

TEST_CASE("import: many threads share allocations, each mapped once at a time") {
  importing seen;
  imported_pool pool(std::make_unique<counted_import>(seen));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&pool] {
      for (std::uint64_t i = 0; i < 500; ++i) {
        auto block = pool.import_block(block_at(0x70000000 + i % 3 * 0x10000000, i * 512));
        if (!block || !block->pointer()) std::abort();
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(seen.maps == seen.unmaps);
  for (const auto& [at, times] : seen.mapped) CHECK(times == 0);
}

TEST_CASE("import: without a device, or without a handle, it says so") {
  const auto opened = imported_pool::open(0, {});
  CHECK((why(opened) == errc::invalid_argument || why(opened) == errc::built_without_cuda));
}

}  // namespace
}  // namespace weir::test
