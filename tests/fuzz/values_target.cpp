// SPDX-License-Identifier: Apache-2.0
//
// The input is one value: bytes, a time, a share, a flag. What is taken is written and read again as the same number,
// and the command line's bytes are the library's.
#include "fuzz/fuzz_input.hpp"
#include "pool/text_values.hpp"
#include "units.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace weir::fuzz;
  using namespace weir::detail;
  fuzz_input in(data, bytes);
  const std::string text(in.rest());
  const auto count = bytes_from(text);
  if (count) require(bytes_from(text_of_bytes(*count)) == count, "bytes become other bytes");
  if (const auto n = limit_from(text)) require(limit_from(text_of_limit(*n)) == n, "a limit becomes another");
  if (const auto t = time_from(text)) require(time_from(text_of_time(*t)) == t, "a time becomes another");
  if (const auto s = share_from(text)) require(share_from(text_of_share(*s)) == s, "a share becomes another");
  if (const auto n = number_from(text)) require(number_from(std::to_string(*n)) == n, "a number becomes another");
  (void)flag_from(text);
  const auto on_command_line = weir::cli::parse_bytes(text);
  if (on_command_line && count) require(*on_command_line == *count, "the command line reads other bytes");
  if (on_command_line) require(!weir::cli::human_bytes(*on_command_line).empty(), "bytes without words");
  return 0;
}
