// SPDX-License-Identifier: Apache-2.0
//
// A backend and a pool that outlive the driver's end, on a driver that only remembers. The check is an exit handler
// registered before the device is opened, so it runs after the library's.
#include <cstdio>
#include <cstdlib>

#include "fake_driver.hpp"
#include "weir/backend.hpp"
#include "weir/pool.hpp"

namespace {

std::unique_ptr<weir::backend> target;
std::unique_ptr<weir::pool> pool;
weir::stream stream;
void* blocks[3];  // live, of every size; others are cached and kept
constexpr std::size_t sizes[3] = {3000, std::size_t{3} << 20, std::size_t{64} << 20};
weir::test::fake_driver* driver = nullptr;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::_Exit(1);
}

bool is_unloading(const auto& answer) { return !answer && answer.error().code == weir::errc::driver_unloading; }

// What the pool has it may give, what needs the driver is refused, frees are taken.
void use_pool_at_the_end() {
  expect(is_unloading(pool->try_allocate(std::size_t{1} << 30, stream)), "a miss answers driver_unloading");
  expect(is_unloading(pool->trim(0)), "a trim answers driver_unloading");
  expect(pool->try_allocate(sizes[0], stream).has_value(), "a hit is a hit");
  for (int i = 0; i < 3; ++i) expect(pool->try_deallocate(blocks[i], sizes[i], stream).has_value(), "a free is taken");
  expect(pool->validate().empty(), "the pool is sound");
  pool.reset();
}

void check_at_the_end() {
  use_pool_at_the_end();
  const auto answer = target->memory();
  expect(!answer && answer.error().code == weir::errc::driver_unloading, "a call answers driver_unloading");
  target.reset();
  expect(driver->calls.empty(), "neither a call nor the destructor reached the driver");
}

}  // namespace

int main() {
  expect(std::atexit(check_at_the_end) == 0, "an exit handler can be registered");
  driver = &weir::test::reset_fake_driver();
  target = weir::make_cuda_backend(0).value();
  expect(target->memory().has_value(), "before the end calls are made");
  pool = std::make_unique<weir::pool>(weir::pool::make(0));
  stream = pool->stream(weir::raw_stream(weir::test::fake_stream(1))).value();
  for (int i = 0; i < 3; ++i) {
    blocks[i] = pool->allocate(sizes[i], stream);
    pool->deallocate(pool->allocate(sizes[i], stream), stream);
  }
  driver->calls.clear();
  return 0;
}
