// SPDX-License-Identifier: Apache-2.0
//
// The destructor of an interface: where its vtable lives. backend's is in backend/backend.cpp.
#include "weir/observer.hpp"

namespace weir {

observer::~observer() = default;

}  // namespace weir
