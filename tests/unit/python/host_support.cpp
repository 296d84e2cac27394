// SPDX-License-Identifier: Apache-2.0
//
// What weir_host leaves to the library around it.
#include "adapters/python/process_pools.hpp"

namespace weir::python {

void report_unless_over(const result<void>&) noexcept {}

}  // namespace weir::python
