// SPDX-License-Identifier: Apache-2.0
//
// Byte counts as people write and read them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weir::tools {

// "4096", "512K", "1.5GiB", "20 GB": K, M, G and T, with or without iB, are powers of 1024; kB, MB, GB and TB are
// powers of 1000. Nothing for anything else, and for what does not fit.
std::optional<std::size_t> parse_bytes(std::string_view text);

// "19.00 GiB", "512 B": three to four digits and the unit that fits.
std::string format_bytes(std::size_t bytes);

}  // namespace weir::tools
