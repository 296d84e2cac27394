// SPDX-License-Identifier: Apache-2.0
//
// Catch2's own main, and the child's.
#include <catch2/catch_session.hpp>
#include <cstdlib>
#include <string_view>

#include "importing_child.hpp"

int main(int count, char** arguments) {
  if (count == 3 && std::string_view(arguments[1]) == "--importing-child")
    return weir::test::be_importing_child(std::atoi(arguments[2]));
  return Catch::Session().run(count, arguments);
}
