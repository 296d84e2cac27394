// SPDX-License-Identifier: Apache-2.0
//
// Two GPUs that use each other's blocks, and a second process that does: a child, this program again, is sent the
// pool's descriptor over a socket. What a platform does not have is answered with its reason, and then that is what is
// tested.
#include <array>
#include <thread>
#include <vector>

#include "gpu.hpp"
#include "importing_child.hpp"
#include "kernels.hpp"
#include "weir/pools.hpp"

namespace weir::test {
namespace {

// A stream of a device, with a counter there.
struct place {
  explicit place(int on) : device(on), current(on) {}

  const int device;
  on_device current;
  gpu_stream stream;
  mismatch_counter wrong;
};

// What `later` gets from now on runs after what `earlier` has, of another device.
void order_across(const place& earlier, const place& later) {
  const on_device current(earlier.device);
  cudaEvent_t event = nullptr;
  WEIR_CUDA_OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  WEIR_CUDA_OK(cudaEventRecord(event, earlier.stream));
  WEIR_CUDA_OK(cudaStreamWaitEvent(later.stream, event, 0));
  WEIR_CUDA_OK(cudaEventDestroy(event));
}

template <class Act>
void on(const place& p, Act act) {
  const on_device current(p.device);
  act();
  WEIR_CUDA_OK(cudaGetLastError());
}

// One block of `home`: written there, read and written by the neighbour's kernels, copied by the neighbour into a block
// of its own, read at home again, freed behind the neighbour's work.
void round_trip(weir::pools& pools, place& home, place& neighbour, std::size_t bytes, std::uint32_t seed, bool direct) {
  pool& mine = *value_of(pools.on(home.device));
  pool& theirs = *value_of(pools.on(neighbour.device));
  const raw_stream here(home.stream), there(neighbour.stream);
  void* block = direct ? value_of(mine.try_allocate_direct(bytes)) : value_of(mine.try_allocate(bytes, here));
  void* copy = value_of(theirs.try_allocate(bytes, there));
  on(home, [&] { fill(block, bytes, seed, home.stream); });
  order_across(home, neighbour);
  on(neighbour, [&] {
    neighbour.wrong.check(block, bytes, seed, neighbour.stream);
    WEIR_CUDA_OK(cudaMemcpyAsync(copy, block, bytes, cudaMemcpyDefault, neighbour.stream));
    neighbour.wrong.check(copy, bytes, seed, neighbour.stream);
    fill(block, bytes, seed + 1, neighbour.stream);
  });
  order_across(neighbour, home);
  on(home, [&] { home.wrong.check(block, bytes, seed + 1, home.stream); });
  value_of(theirs.try_deallocate(copy, bytes, there));
  value_of(direct ? mine.try_deallocate_direct(block) : mine.try_deallocate(block, bytes, here));
}

unsigned long long total_of(const place& p) {
  const on_device current(p.device);
  return p.wrong.total();
}

// Answers false, and says why, where the platform has no peer access; its reason is tested instead.
bool has_peers(weir::pools& pools) {
  const auto let_in = pools.allow_peers();
  if (let_in) return true;
  const error& why = let_in.error();
  CHECK(why.code == errc::not_supported);
  CHECK(why.message().find("peer") != std::string::npos);
  int both = 0;
  for (int home : {0, 1}) {
    int can = 0;
    WEIR_CUDA_OK(cudaDeviceCanAccessPeer(&can, 1 - home, home));
    both += can;
  }
  CHECK(both < 2);
  WARN(why.message());
  return false;
}

TEST_CASE("peers: two devices read, copy and write each other's blocks, from many threads") {
  require_devices(2);
  weir::pools pools;
  if (!has_peers(pools)) SKIP("no peer access between devices 0 and 1");
  constexpr std::size_t threads_count = 6;
  std::array<unsigned long long, threads_count> wrong{};
  wrong.fill(~0ull);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < threads_count; ++t)
    threads.emplace_back([&, t] {
      place home(static_cast<int>(t % 2));
      place neighbour(1 - home.device);
      for (std::uint32_t round = 0; round < 60; ++round) {
        const std::size_t bytes = round % 10 == 0 ? (17 + round % 3) * MiB : (round % 40 + 1) * (round % 7 ? KiB : MiB);
        round_trip(pools, home, neighbour, bytes, round * 100 + static_cast<std::uint32_t>(t), round % 30 == 15);
      }
      wrong[t] = total_of(home) + total_of(neighbour);
      value_of(value_of(pools.on(home.device))->retire(raw_stream(home.stream)));
      value_of(value_of(pools.on(neighbour.device))->retire(raw_stream(neighbour.stream)));
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == std::array<unsigned long long, threads_count>{});
  for (int device : {0, 1}) {
    pool& p = *value_of(pools.on(device));
    CHECK(p.statistics().live_count == 0);
    CHECK(p.validate().empty());
  }
  CHECK(pools.statistics().allocations == 2 * 60 * threads_count);
}

TEST_CASE("peers: blocks that were there before are let in too, and those of native memory that comes later") {
  require_devices(2);
  weir::pools pools;
  place home(0);
  pool& mine = *value_of(pools.on(0));
  void* before = mine.allocate(3 * MiB, raw_stream(home.stream));
  if (!has_peers(pools)) SKIP("no peer access between devices 0 and 1");
  void* after = mine.allocate(200 * MiB, raw_stream(home.stream));
  fill(before, 3 * MiB, 5, home.stream);
  fill(after, 200 * MiB, 6, home.stream);
  place neighbour(1);
  order_across(home, neighbour);
  neighbour.wrong.check(before, 3 * MiB, 5, neighbour.stream);
  neighbour.wrong.check(after, 200 * MiB, 6, neighbour.stream);
  CHECK(total_of(neighbour) == 0);
  mine.deallocate(before, raw_stream(home.stream));
  mine.deallocate(after, raw_stream(home.stream));
}

TEST_CASE("peers: a device is its own, and one that is not there is refused") {
  require_device();
  weir::pools pools;
  pool& p = *value_of(pools.on(0));
  value_of(p.allow_peer(0));
  CHECK(code_of(p.allow_peer(value_of(cuda_device_count()))) == errc::no_such_device);
  CHECK(code_of(p.allow_peer(-1)) == errc::no_such_device);
  if (value_of(cuda_device_count()) == 1) value_of(pools.allow_peers());
  gpu_stream stream;
  p.deallocate(p.allocate(MiB, raw_stream(stream)), raw_stream(stream));
  CHECK(cudaGetLastError() == cudaSuccess);
}

// --- processes ------------------------------------------------------------------------------------------------------

// What a platform says that lets no other process in: an answer with a reason, not a crash.
void check_refusal(errc code, const std::string& text) {
  INFO(text);
  CHECK((code == errc::not_supported || code == errc::cuda));
  CHECK(text.size() > std::string(to_string(code)).size());
}

TEST_CASE("processes: a child reads and writes blocks of every kind, and lets go of them") {
  require_device();
  auto made = pool::try_make(0, {.handle_types = 1});
  if (!made) {
    check_refusal(made.error().code, made.error().message());
    SKIP(made.error().message());
  }
  pool& p = *made;
  gpu_stream handle;
  const raw_stream stream(handle);
  const auto exported = p.export_pool();
  if (!exported) {
    check_refusal(exported.error().code, exported.error().message());
    SKIP(exported.error().message());
  }
  std::vector<void*> blocks;
  const std::vector<std::size_t> sizes{1000, 1000, 300 * KiB, 3 * MiB, 5 * MiB, 40 * MiB};
  importing_job job;
  for (std::uint32_t i = 0; i < sizes.size(); ++i) {
    blocks.push_back(p.allocate(sizes[i], stream));
    fill(blocks[i], sizes[i], 70 + i, handle);
    const auto told = p.export_block(blocks[i]);
    if (!told) {
      check_refusal(told.error().code, told.error().message());
      SKIP(told.error().message());
    }
    job.blocks[job.count++] = {.block = *told, .bytes = sizes[i], .seed = 70 + i};
  }
  handle.synchronize();
  const importing_outcome outcome = run_importing_child(*exported, job);
  INFO(outcome.text);
  REQUIRE(outcome.finished);
  if (outcome.code != errc::ok) {
    check_refusal(outcome.code, outcome.text);
    WARN("the child could not import: " << outcome.text);
  } else {
    CHECK(outcome.mismatches == 0);
    mismatch_counter wrong;
    for (std::uint32_t i = 0; i < sizes.size(); ++i) wrong.check(blocks[i], sizes[i], 1070 + i, handle);
    CHECK(wrong.total() == 0);
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) p.deallocate(blocks[i], sizes[i], stream);
  handle.synchronize();
  CHECK(p.statistics().live_count == 0);
  CHECK(p.validate().empty());
}

TEST_CASE("processes: a pool made for export works as another, but is not trimmed") {
  require_device();
  auto made = pool::try_make(0, {.bytes_max = GiB, .handle_types = 1});
  if (!made) {
    check_refusal(made.error().code, made.error().message());
    SKIP(made.error().message());
  }
  gpu_stream handle;
  const raw_stream stream(handle);
  mismatch_counter wrong;
  for (std::uint32_t round = 0; round < 100; ++round) {
    const std::size_t bytes = (round % 30 + 1) * (round % 3 == 0 ? 10 * MiB : 9 * KiB);
    void* block = made->allocate(bytes, stream);
    fill(block, bytes, round, handle);
    wrong.check(block, bytes, round, handle);
    made->deallocate(block, bytes, stream);
  }
  CHECK(wrong.total() == 0);
  CHECK(code_of(made->trim(0)) == errc::not_supported);
  CHECK(made->validate().empty());
}

TEST_CASE("processes: what cannot leave says why") {
  require_device();
  gpu_stream handle;
  const raw_stream stream(handle);
  pool plain = pool::make(0);
  void* block = plain.allocate(1000, stream);
  CHECK(code_of(plain.export_pool()) == errc::not_supported);
  CHECK(code_of(plain.export_block(block)) == errc::not_supported);
  CHECK(code_of(plain.export_block(&handle)) == errc::foreign_pointer);
  void* direct = plain.allocate_direct(1000);
  CHECK(code_of(plain.export_block(direct)) == errc::not_supported);
  plain.deallocate_direct(direct);
  plain.deallocate(block, stream);
  CHECK(code_of(imported_pool::open(0, {})) == errc::invalid_argument);
  const auto nobodys = imported_pool::open(0, {.handle_type = 1, .descriptor = 0});  // no pool's
  CHECK(code_of(nobodys) != errc::ok);
  if (!nobodys) INFO(nobodys.error().message());
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("processes: fabric handles are there, or their absence has a reason") {
  require_device();
  auto made = pool::try_make(0, {.handle_types = 8});
  if (!made) return check_refusal(made.error().code, made.error().message());
  const auto exported = made->export_pool();
  if (!exported) return check_refusal(exported.error().code, exported.error().message());
  CHECK(exported->handle_type == 8);
  CHECK(exported->fabric != std::array<std::byte, 64>{});
}

}  // namespace
}  // namespace weir::test
