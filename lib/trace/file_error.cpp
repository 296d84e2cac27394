// SPDX-License-Identifier: Apache-2.0
#include "weir/trace/file_error.hpp"

namespace weir::trace {

std::string file_error::message() const {
  const char* what = unit == position_unit::line ? ": line " : ": byte ";
  return file + what + std::to_string(position) + ": " + reason;
}

}  // namespace weir::trace
