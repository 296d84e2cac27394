// SPDX-License-Identifier: Apache-2.0
#include "byte_count.hpp"

#include <string>

#include "units.hpp"

namespace weir::cli {

CLI::Validator byte_count() {
  return CLI::Validator(
      [](std::string& text) {
        const auto bytes = parse_bytes(text);
        if (!bytes || *bytes == 0) return "'" + text + "' is no number of bytes such as 20GiB";
        text = std::to_string(*bytes);
        return std::string();
      },
      "BYTES");
}

}  // namespace weir::cli
