// SPDX-License-Identifier: Apache-2.0
//
// Whether this process may still talk to the driver. One relaxed load, so every call can afford to ask.
#pragma once

#include "weir/result.hpp"

namespace weir::cuda {

// errc::ok, errc::forked in a child of the process that opened a device, errc::driver_unloading once exit handlers
// run. In the last two cases no handle may be touched, and destructors leave the driver's objects to it.
errc process_state() noexcept;

// Called each time after the driver has been initialised; the first call registers the handlers. Exit handlers run in
// reverse order, so ours runs before the driver's own, and before the destructors of statics that were complete
// before the first device was opened.
void watch_process() noexcept;

}  // namespace weir::cuda
