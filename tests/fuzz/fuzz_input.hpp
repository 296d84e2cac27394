// SPDX-License-Identifier: Apache-2.0
//
// What all targets share: the bytes taken from the front, and an end that libFuzzer sees as a finding. Bytes past the
// end are zero, so every input is a whole program.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

// Called by libFuzzer, and by replay_main.cpp, for each input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes);

namespace weir::fuzz {

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "found: %s\n", what.c_str());
  std::abort();
}

inline void require(bool holds, const char* what) {
  if (!holds) fail(what);
}

class fuzz_input {
 public:
  fuzz_input(const std::uint8_t* data, std::size_t bytes) : rest_(reinterpret_cast<const char*>(data), bytes) {}

  bool is_empty() const noexcept { return rest_.empty(); }
  std::uint8_t byte() noexcept {
    if (rest_.empty()) return 0;
    const auto b = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return b;
  }
  bool flag() noexcept { return byte() & 1; }
  // Precondition: 0 < n <= 256.
  std::size_t below(std::size_t n) noexcept { return byte() % n; }
  std::uint64_t number(unsigned bytes) noexcept {
    std::uint64_t n = 0;
    for (unsigned i = 0; i < bytes; ++i) n = n << 8 | byte();
    return n;
  }
  // A size of about any magnitude in two bytes: as many doublings as the first says, and a part by the second.
  std::size_t size(unsigned doublings_max) noexcept {
    const std::size_t least = std::size_t{1} << below(doublings_max + 1);
    return least + least * byte() / 256;
  }
  std::string_view take(std::size_t bytes) noexcept {
    const std::string_view taken = rest_.substr(0, std::min(bytes, rest_.size()));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() noexcept { return take(rest_.size()); }

 private:
  std::string_view rest_;
};

}  // namespace weir::fuzz
