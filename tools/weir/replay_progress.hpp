// SPDX-License-Identifier: Apache-2.0
//
// One line on a terminal that says what is being done, replaced by the next and gone at the end. Silent where stderr is
// no terminal.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <string>

namespace weir::tools {

class replay_progress {
 public:
  replay_progress() = default;
  ~replay_progress() { clear(); }
  replay_progress(const replay_progress&) = delete;
  replay_progress& operator=(const replay_progress&) = delete;

  void show(const std::string& text) {
    if (!is_terminal_) return;
    std::fprintf(stderr, "\r\033[K%s …", text.c_str());
    std::fflush(stderr);
    is_shown_ = true;
  }
  void clear() {
    if (!is_shown_) return;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    is_shown_ = false;
  }

 private:
  bool is_terminal_ = isatty(STDERR_FILENO) == 1;
  bool is_shown_ = false;
};

}  // namespace weir::tools
