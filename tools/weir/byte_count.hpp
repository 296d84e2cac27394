// SPDX-License-Identifier: Apache-2.0
//
// Options that are numbers of bytes, such as 20GiB.
#pragma once

#include <CLI/App.hpp>

namespace weir::cli {

// Turns the text into the plain number; refuses zero.
CLI::Validator byte_count();

}  // namespace weir::cli
