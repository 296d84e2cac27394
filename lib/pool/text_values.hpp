// SPDX-License-Identifier: Apache-2.0
//
// Bytes, times, shares and flags from text and to text, exactly: what is written is read back as the same number.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weir::detail {

std::string_view without_blanks(std::string_view) noexcept;  // at either end

// Each null where the text is no such value, or the value does not fit.
std::optional<std::size_t> bytes_from(std::string_view) noexcept;
std::optional<std::size_t> limit_from(std::string_view) noexcept;  // bytes, or "none" for SIZE_MAX
std::optional<std::chrono::nanoseconds> time_from(std::string_view) noexcept;
std::optional<double> share_from(std::string_view) noexcept;  // any finite number
std::optional<bool> flag_from(std::string_view) noexcept;
std::optional<unsigned> number_from(std::string_view) noexcept;

std::string text_of_bytes(std::size_t);  // in the largest unit that divides it
std::string text_of_limit(std::size_t);
std::string text_of_time(std::chrono::nanoseconds);
std::string text_of_share(double);

}  // namespace weir::detail
