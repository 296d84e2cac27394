// SPDX-License-Identifier: Apache-2.0
//
// The program of all the consumers: what it calls needs the library, and the CUDA runtime where the library does.
#include <cstdio>
#include <cstring>

#include "weir/backend.hpp"
#include "weir/version.hpp"

int main() {
  if (std::strcmp(weir::version(), WEIR_VERSION) != 0) {
    std::printf("header %s, library %s\n", WEIR_VERSION, weir::version());
    return 1;
  }
  const weir::result<int> devices = weir::cuda_device_count();
  std::printf("weir %s, %s\n", weir::version(), devices ? "with a CUDA device" : devices.error().message().c_str());
}
