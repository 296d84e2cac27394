// SPDX-License-Identifier: Apache-2.0
//
// The input is a text trace.
#include "fuzz/fuzz_input.hpp"
#include "fuzz/trace_oracle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  weir::fuzz::fuzz_input in(data, bytes);
  weir::fuzz::check_trace(in.rest());
  return 0;
}
