// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace weir::base {

inline constexpr std::size_t kib = std::size_t{1} << 10;
inline constexpr std::size_t mib = std::size_t{1} << 20;

// Both: `to` is a power of two; the first must not wrap.
constexpr std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) & ~(to - 1); }
constexpr std::size_t round_down(std::size_t n, std::size_t to) noexcept { return n & ~(to - 1); }
constexpr std::size_t divide_up(std::size_t n, std::size_t by) noexcept { return (n + by - 1) / by; }

inline std::uintptr_t address(const void* p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }
inline void* pointer(std::uintptr_t a) noexcept { return reinterpret_cast<void*>(a); }

}  // namespace weir::base
