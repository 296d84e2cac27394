// SPDX-License-Identifier: Apache-2.0
#include "weir/backend.hpp"

namespace weir {

backend::~backend() = default;

}  // namespace weir
