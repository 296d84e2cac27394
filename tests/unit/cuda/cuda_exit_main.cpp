// SPDX-License-Identifier: Apache-2.0
//
// A backend that outlives the driver's end, on a driver that only remembers. The check is an exit handler registered
// before the device is opened, so it runs after the library's.
#include <cstdio>
#include <cstdlib>

#include "fake_driver.hpp"
#include "weir/backend.hpp"

namespace {

std::unique_ptr<weir::backend> target;
weir::test::fake_driver* driver = nullptr;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("not so: %s\n", what);
  std::_Exit(1);
}

void check_at_the_end() {
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
  driver->calls.clear();
  return 0;
}
