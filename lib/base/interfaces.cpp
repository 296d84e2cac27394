// SPDX-License-Identifier: Apache-2.0
//
// The destructors of the interfaces: where their vtables live.
#include "weir/backend.hpp"
#include "weir/observer.hpp"

namespace weir {

backend::~backend() = default;
observer::~observer() = default;

}  // namespace weir
