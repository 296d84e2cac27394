// SPDX-License-Identifier: Apache-2.0
//
// Statics that hold a device's memory at exit: one that was there before the driver and goes after it, one made with it
// and gone before it. Both must end without a crash. Exit status 4: no device.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "weir/backend.hpp"
#include "weir/pool.hpp"

namespace {

std::unique_ptr<weir::backend> outlives_the_driver;
weir::pool pool_outlives_the_driver;

weir::backend& made_with_the_driver() {
  static std::unique_ptr<weir::backend> one = weir::make_cuda_backend(0).value();
  return *one;
}

// Its destructor runs after exit handlers registered later, ours among them.
struct asks_at_the_end {
  ~asks_at_the_end() {
    if (!outlives_the_driver) return;
    const auto answer = outlives_the_driver->memory();
    if (answer || answer.error().code != weir::errc::driver_unloading) std::_Exit(1);
  }
} last_words;

bool gpu_is_required() {
  const char* wanted = std::getenv("WEIR_REQUIRE_GPU");
  return wanted && std::string_view(wanted) == "1";
}

}  // namespace

int main() {
  if (const auto count = weir::cuda_device_count(); !count) {
    std::printf("skipped: %s\n", count.error().message().c_str());
    return gpu_is_required() ? 1 : 4;
  }
  weir::backend& with = made_with_the_driver();
  outlives_the_driver = weir::make_cuda_backend(0).value();
  pool_outlives_the_driver = weir::pool::make(0);
  // Live at exit, each of them.
  (void)with.allocate(1 << 20, with.own_stream()).value();
  (void)outlives_the_driver->allocate(1 << 20, outlives_the_driver->own_stream()).value();
  (void)pool_outlives_the_driver.allocate(1 << 20, weir::raw_stream(nullptr));
  std::printf("ok\n");
  return 0;
}
