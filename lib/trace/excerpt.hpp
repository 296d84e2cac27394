// SPDX-License-Identifier: Apache-2.0
//
// Bytes of an untrusted file, for a message: escaped, cut, in quotes.
#pragma once

#include <string>
#include <string_view>

namespace weir::trace {

// Everything but printable ASCII as \xNN.
std::string escaped(std::string_view);
// At most 40 bytes of it, in double quotes.
std::string excerpt(std::string_view);

}  // namespace weir::trace
