// SPDX-License-Identifier: Apache-2.0
#include "weir/memory_report.hpp"

#include <cstdint>

namespace weir {

std::string memory_report::summary() const {
  const auto n = [](std::size_t bytes) { return bytes == SIZE_MAX ? std::string("none") : std::to_string(bytes); };
  return "live " + n(live) + ", direct " + n(direct) + ", held " + n(held) + " (cached " + n(cached) + ", pending " +
         n(pending) + ", too small " + n(too_small) + ", of other streams " + n(other_stream) + "), largest free " +
         n(largest_free) + ", reserved " + n(reserved) + ", limit " + n(bytes_max) + ", device free " + n(device_free) +
         " of " + n(device_total);
}

}  // namespace weir
