// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "weir/error.hpp"

// An invariant of ours, checked in every build where that is O(1). Tells the bug handler and goes on.
#define WEIR_ASSERT(condition)                                                                       \
  do {                                                                                               \
    if (!(condition)) [[unlikely]]                                                                   \
      ::weir::report_bug({.code = ::weir::errc::internal, .what = "broken invariant: " #condition}); \
  } while (false)
