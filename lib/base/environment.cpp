// SPDX-License-Identifier: Apache-2.0
#include "base/environment.hpp"

#include <cstdlib>

namespace weir::base {

// Safe while nobody changes the environment, which no function of the standard library promises to order.
const char* environment_value(const char* name) noexcept { return std::getenv(name); }  // NOLINT(concurrency-mt-unsafe)

}  // namespace weir::base
