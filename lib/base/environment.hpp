// SPDX-License-Identifier: Apache-2.0
//
// The one place where the library reads the environment.
#pragma once

namespace weir::base {

// The value of a variable, or null. Points into the environment: copy it before anybody changes that.
const char* environment_value(const char* name) noexcept;

}  // namespace weir::base
