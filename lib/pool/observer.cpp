// SPDX-License-Identifier: Apache-2.0
#include "weir/observer.hpp"

namespace weir {

observer::~observer() = default;  // where its vtable lives

}  // namespace weir
