// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace CLI {
class App;
}

namespace weir::cli {

// Adds `weir replay`. Once the subcommand has run, `status` is the program's exit status.
void setup_replay(CLI::App& app, int& status);

}  // namespace weir::cli
