// SPDX-License-Identifier: Apache-2.0
#include "base/environment.hpp"

#include <cstdlib>

namespace weir::base {

const char* environment_value(const char* name) noexcept { return std::getenv(name); }

}  // namespace weir::base
