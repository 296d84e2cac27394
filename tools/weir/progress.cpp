// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <cstdio>
#include <unistd.h>
#include <utility>

#include "units.hpp"

namespace weir::cli {

namespace {

using namespace std::chrono_literals;
constexpr auto pause = 100ms;

bool switched_off = false;
progress* shown = nullptr;

}  // namespace

progress::progress(std::string what, std::uint64_t total)
    : what_(std::move(what)),
      total_(total),
      on_terminal_(!switched_off && isatty(STDERR_FILENO) == 1),
      next_draw_(std::chrono::steady_clock::now() + pause) {}

void progress::update(std::uint64_t done) {
  if (!on_terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + pause;
  draw(done);
}

void progress::draw(std::uint64_t done) {
  const std::string amount =
      total_ == 0 ? human_bytes(done) + " read" : std::to_string(100 * (done / 1024) / (total_ / 1024 + 1)) + " %";
  show(what_ + ": " + amount);
}

void progress::say(std::string what) {
  what_ = std::move(what);
  if (on_terminal_) show(what_ + " …");
}

void progress::show(const std::string& line) {
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
  shown = this;
}

void progress::clear() {
  if (shown == this) shown = nullptr;
  if (!std::exchange(drawn_, false)) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

void clear_progress() {
  if (shown) shown->clear();
}

void switch_progress_off() { switched_off = true; }

}  // namespace weir::cli
