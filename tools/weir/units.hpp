// SPDX-License-Identifier: Apache-2.0
//
// Numbers for people, and bytes from them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::cli {

std::string human_bytes(std::uint64_t bytes);  // 512 B, 1.50 KiB, 19.00 GiB
std::string human_ns(double ns);               // 71 ns, 1.10 µs, 25.2 ms, 3.1 s
std::string human_count(std::uint64_t count);  // 273,730
std::string human_share(double share);         // 0.9871 -> 98.71 %

// A whole number of bytes with an optional unit: 4096, 512M, 80GiB, 1.5g. K, M, G, T are powers of 1024.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

}  // namespace weir::cli
