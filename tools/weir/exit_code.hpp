// SPDX-License-Identifier: Apache-2.0
//
// What the command line answers, and the exceptions that lead there. A subcommand returns `fine` or `finding`, throws
// bad_input for the rest; anything else that flies is our bug.
#pragma once

#include <stdexcept>

namespace weir::cli {

inline constexpr int fine = 0;
inline constexpr int finding = 1;    // it worked, and what it found wants attention
inline constexpr int bad_usage = 2;  // options or input
inline constexpr int our_bug = 70;

// A file or an option that will not do. what() names it, says where and why.
struct bad_input : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace weir::cli
