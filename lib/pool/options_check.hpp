// SPDX-License-Identifier: Apache-2.0
//
// Options that make no sense, alone or together. Every refusal names the option, the value and what is accepted.
#pragma once

#include "weir/backend.hpp"
#include "weir/pool_options.hpp"
#include "weir/result.hpp"

namespace weir::detail {

// `key` is a static string. `bytes` is the value where that is a number of bytes.
error bad_option(const char* key, const std::string& given, const std::string& accepted, std::size_t bytes = 0);

// What can be said without a device.
result<void> check(const pool_options&);
// The same, and what the device makes of it.
result<void> check(const pool_options&, const backend_capabilities&);

}  // namespace weir::detail
