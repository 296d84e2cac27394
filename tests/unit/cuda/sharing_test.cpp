// SPDX-License-Identifier: Apache-2.0
//
// Peer access, export and import by the CUDA backend, on a driver that only remembers.
#include "weir/sharing.hpp"

#include <catch2/catch_test_macros.hpp>

#include "fake_driver.hpp"
#include "weir/pool.hpp"

namespace weir::test {
namespace {

constexpr std::size_t MiB = std::size_t{1} << 20;

template <class T>
errc code_of(const result<T>& r) {
  return r ? errc::ok : r.error().code;
}

struct setting {
  fake_driver& driver = reset_fake_driver();
  std::unique_ptr<backend> target;

  explicit setting(cuda_backend_options options = {}) : target(make_cuda_backend(0, options).value()) {
    driver.calls.clear();
  }
};

TEST_CASE("cuda peers: a pool lets a device into native memory, and into what is outside it") {
  fake_driver& driver = reset_fake_driver();
  weir::pool pool = weir::pool::make(0);
  driver.calls.clear();
  CHECK(code_of(pool.allow_peer(0)) == errc::ok);
  CHECK(driver.calls.empty());
  CHECK(code_of(pool.allow_peer(1)) == errc::ok);
  CHECK(driver.accessible_from == 1);
  CHECK(driver.context_peers == std::set<CUcontext>{primary_context(1)});
  CHECK(code_of(pool.allow_peer(1)) == errc::ok);  // the driver says that it was enabled
  CHECK_FALSE(driver.calls_without_context);
  CHECK_FALSE(driver.calls_unrelaxed);
  CHECK(driver.stack.empty());
}

TEST_CASE("cuda peers: access to native memory alone makes no context") {
  setting s;
  CHECK(code_of(s.target->allow_access(1)) == errc::ok);
  CHECK(s.driver.accessible_from == 1);
  CHECK_FALSE(s.driver.called("cuDevicePrimaryCtxRetain"));
  CHECK(s.driver.context_peers.empty());
}

TEST_CASE("cuda peers: two that cannot reach each other are told apart by name, and nothing is opened") {
  setting s;
  s.driver.peers = 0;
  for (const auto& refusal : {s.target->allow_access(1), s.target->allow_direct_access(1)}) {
    REQUIRE(code_of(refusal) == errc::not_supported);
    CHECK(refusal.error().message().find("device 1 cannot reach the memory of device 0") != std::string::npos);
  }
  CHECK_FALSE(s.driver.called("cuMemPoolSetAccess"));
  CHECK_FALSE(s.driver.called("cuDevicePrimaryCtxRetain"));
  CHECK_FALSE(s.driver.called("cuCtxEnablePeerAccess"));
}

TEST_CASE("cuda peers: a device that does not exist is refused with both numbers") {
  setting s;
  for (const int peer : {-1, 2}) {
    const auto refusal = s.target->allow_access(peer);
    REQUIRE(code_of(refusal) == errc::no_such_device);
    CHECK(refusal.error().message() == "no such device: device " + std::to_string(peer) + " of 2");
  }
}

TEST_CASE("cuda peers: what the driver refuses keeps its number") {
  setting s;
  s.driver.answers["cuCtxEnablePeerAccess"] = CUDA_ERROR_TOO_MANY_PEERS;
  const auto refusal = s.target->allow_direct_access(1);
  CHECK(code_of(refusal) == errc::not_supported);
  CHECK(refusal.error().message() == "cuCtxEnablePeerAccess: not supported: CUDA answers 711");
}

TEST_CASE("cuda export: handle types that the device does not have are refused when the pool is made") {
  fake_driver& driver = reset_fake_driver();
  const auto made = make_cuda_backend(0, {.handle_types = 8});
  REQUIRE(code_of(made) == errc::not_supported);
  CHECK(made.error().message().find("cudaDevAttrMemoryPoolSupportedHandleTypes") != std::string::npos);
  CHECK_FALSE(driver.called("cuMemPoolCreate"));
  CHECK_FALSE(driver.called("cuStreamCreate"));
}

TEST_CASE("cuda export: a pool has a handle of each of its types and no other") {
  reset_fake_driver().pool_handle_types = 9;
  const auto both = make_cuda_backend(0, {.handle_types = 9}).value();
  const auto first = both->export_pool(0).value();
  CHECK(first.handle_type == 1);
  CHECK(first.descriptor == 42);
  const auto fabric = both->export_pool(8).value();
  CHECK(fabric.handle_type == 8);
  CHECK(fabric.descriptor == -1);
  CHECK(fabric.fabric[0] == std::byte{43});
  for (const unsigned type : {2u, 9u, 16u}) CHECK(code_of(both->export_pool(type)) == errc::invalid_argument);
  const auto none = make_cuda_backend(0).value();
  CHECK(code_of(none->export_pool(1)) == errc::not_supported);
  CHECK(code_of(none->export_allocation(nullptr)) == errc::not_supported);
}

TEST_CASE("cuda export: what the driver refuses keeps its number") {
  setting s({.handle_types = 1});
  s.driver.answers["cuMemPoolExportToShareableHandle"] = CUDA_ERROR_NOT_PERMITTED;
  s.driver.answers["cuMemPoolExportPointer"] = CUDA_ERROR_INVALID_VALUE;
  const auto pool = s.target->export_pool(0);
  REQUIRE(code_of(pool) == errc::not_supported);
  CHECK(pool.error().message() == "cuMemPoolExportToShareableHandle: not supported: CUDA answers 800");
  CHECK(s.target->export_allocation(nullptr).error().native_code == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("cuda import: blocks of every kind lie where the exporter says, and go with the last") {
  fake_driver& driver = reset_fake_driver();
  weir::pool pool = weir::pool::make(0, {.handle_types = 1});
  const raw_stream stream(fake_stream(1));
  auto from = imported_pool::open(0, pool.export_pool().value()).value();
  std::vector<void*> blocks;
  std::vector<imported_block> imported;
  for (const std::size_t bytes : {std::size_t{1000}, std::size_t{1000}, 3 * MiB, 40 * MiB}) {
    blocks.push_back(pool.allocate(bytes, stream));
    const auto told = pool.export_block(blocks.back()).value();
    CHECK(told.bytes >= bytes);
    CHECK(told.offset + told.bytes <= told.allocation_bytes);
    imported.push_back(from.import_block(told).value());
    CHECK(reinterpret_cast<CUdeviceptr>(imported.back().pointer()) ==
          reinterpret_cast<CUdeviceptr>(blocks.back()) + imported_distance);
  }
  CHECK(pool.export_block(blocks[0]).value().allocation == pool.export_block(blocks[1]).value().allocation);
  CHECK(pool.export_block(blocks[0]).value().allocation != pool.export_block(blocks[3]).value().allocation);
  CHECK(driver.imported.size() == driver.count("cuMemPoolImportPointer"));
  CHECK(code_of(from.allow_peer(1)) == errc::ok);
  CHECK(driver.context_peers.empty());  // it has no direct blocks
  driver.calls.clear();
  imported.clear();
  CHECK(driver.imported.empty());
  CHECK(driver.count("cuMemHostUnregister") == 4);  // each release waits for the device
  for (void* block : blocks) pool.deallocate(block, stream);
  CHECK_FALSE(driver.calls_without_context);
  CHECK_FALSE(driver.calls_unrelaxed);
}

TEST_CASE("cuda import: no handle, a wrong one and a platform without are named") {
  fake_driver& driver = reset_fake_driver();
  CHECK(code_of(imported_pool::open(0, {})) == errc::invalid_argument);
  CHECK(code_of(imported_pool::open(0, {.handle_type = 1})) == errc::invalid_argument);
  CHECK(code_of(imported_pool::open(2, {.handle_type = 1, .descriptor = 42})) == errc::no_such_device);
  CHECK(code_of(imported_pool::open(0, {.handle_type = 8})) == errc::not_supported);
  const auto wrong = imported_pool::open(0, {.handle_type = 1, .descriptor = 7});
  REQUIRE(code_of(wrong) == errc::cuda);
  CHECK(wrong.error().message() == "cuMemPoolImportFromShareableHandle: CUDA error 1");
  CHECK(driver.count("cuStreamCreate") == driver.count("cuStreamDestroy"));
  driver.pool_handle_types = 0;
  CHECK(code_of(imported_pool::open(0, {.handle_type = 1, .descriptor = 42})) == errc::not_supported);
}

}  // namespace
}  // namespace weir::test
