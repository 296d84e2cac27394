// SPDX-License-Identifier: Apache-2.0
//
// The input is a program on a pool.
#include "fuzz/fuzz_input.hpp"
#include "fuzz/pool_program.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  weir::fuzz::fuzz_input in(data, bytes);
  weir::fuzz::pool_program(in).run();
  return 0;
}
