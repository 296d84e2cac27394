// SPDX-License-Identifier: Apache-2.0
//
// The simulation's numbers, for tests of other levels too.
#pragma once

#include "../../tools/weir/random_source.hpp"

namespace weir::test {

using cli::random_source;

}  // namespace weir::test
