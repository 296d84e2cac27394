// SPDX-License-Identifier: Apache-2.0
//
// Of cached pairs: from 256 B to 64 KiB, in every power of two one size that is a class and one that is not.
#pragma once

#include <array>
#include <cstddef>

namespace weir::test {

inline constexpr std::array<std::size_t, 17> pair_sizes{256,  320,  512,   700,   1024,  1300,  2048,  3000, 4096,
                                                        5000, 8192, 12000, 16384, 20000, 32768, 50000, 65536};

}  // namespace weir::test
