// SPDX-License-Identifier: Apache-2.0
//
// The parser's name, without its headers, which cost a second each.
#pragma once

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}
