// SPDX-License-Identifier: Apache-2.0
//
// What an out_of_memory carries: who holds the memory, and why the rest could not serve. All in bytes.
//
//     catch (const weir::out_of_memory& e) { log(e.error().report->summary()); }
#pragma once

#include <cstddef>
#include <string>

#include "weir/export.hpp"

namespace weir {

struct memory_report {
  std::size_t requested = 0;     // as asked for
  std::size_t live = 0;          // the user has, rounded to classes
  std::size_t direct = 0;        // live outside the native pool
  std::size_t held = 0;          // in native allocations; what follows is held and not live, by cause
  std::size_t cached = 0;        // in the caches of threads
  std::size_t pending = 0;       // freed, but its stream has not passed the point of the free
  std::size_t too_small = 0;     // free ranges, each smaller than the request
  std::size_t other_stream = 0;  // free and large enough, but of a stream that may not be waited for
  std::size_t largest_free = 0;  // of all free ranges
  std::size_t reserved = 0;      // the native pool has from the driver
  std::size_t bytes_max = 0;     // the pool's limit; SIZE_MAX where there is none
  std::size_t device_free = 0;
  std::size_t device_total = 0;
  unsigned attempts = 0;  // how often the handler was asked

  // One line, for logs and for what().
  WEIR_EXPORT std::string summary() const;
};

}  // namespace weir
