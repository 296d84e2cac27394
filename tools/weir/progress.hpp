// SPDX-License-Identifier: Apache-2.0
//
// A line on the terminal that says how far a long read is. Nothing at all where stderr is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace weir::cli {

class progress {
 public:
  // `total` 0: not known, only the amount done is shown.
  progress(std::string what, std::uint64_t total);
  ~progress() { clear(); }
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  // Cheap enough for every few thousand events; draws ten times a second.
  void update(std::uint64_t done);
  // Another thing is being done: shown at once, in place of how far the last one is.
  void say(std::string what);
  // Takes the line away, so that a message can stand there.
  void clear();

 private:
  void draw(std::uint64_t done);
  void show(const std::string& line);

  std::string what_;
  std::uint64_t total_;
  bool on_terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_draw_;
};

// Lets the log take the line away before a message, and quiet() switch all progress off.
void clear_progress();
void switch_progress_off();

}  // namespace weir::cli
