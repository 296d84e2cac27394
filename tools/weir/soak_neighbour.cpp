// SPDX-License-Identifier: Apache-2.0
#include "soak_neighbour.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <iostream>
#include <spawn.h>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "exit_code.hpp"
#include "soak.hpp"

namespace weir::cli {
namespace {

constexpr std::size_t piece_bytes = std::size_t{256} << 20;

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("soak: no pipe to a second process");
  return ends;
}

}  // namespace

soak_neighbour::soak_neighbour(const replay_device& device) : sim_(device.simulated()) {
  if (!sim_) start(device.ordinal());
}

void soak_neighbour::start(int ordinal) {
  const auto in = make_pipe();
  const auto out = make_pipe();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::string program = "/proc/self/exe", name = "soak-neighbour", flag = "--device";
  std::string device = "cuda:" + std::to_string(ordinal);
  char* const arguments[] = {program.data(), name.data(), flag.data(), device.data(), nullptr};
  const int failed = ::posix_spawn(&child_, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  to_ = ::fdopen(in[1], "w");
  from_ = ::fdopen(out[0], "r");
  if (failed || !to_ || !from_) throw std::runtime_error("soak: no second process for the neighbour");
  hold(0, 0);  // it is there, with its context
}

// The end of its input is its end.
soak_neighbour::~soak_neighbour() {
  if (sim_) sim_->set_neighbour_bytes(0);
  if (to_) std::fclose(to_);
  if (from_) std::fclose(from_);
  if (child_ > 0) ::waitpid(child_, nullptr, 0);
}

std::size_t soak_neighbour::hold(std::size_t bytes, std::size_t free) {
  if (sim_) {
    held_ = std::min(bytes, held_ + free);
    sim_->set_neighbour_bytes(held_);
    return held_;
  }
  unsigned long long answer = 0;
  if (std::fprintf(to_, "%zu\n", bytes) < 0 || std::fflush(to_) != 0 || std::fscanf(from_, "%llu", &answer) != 1)
    throw std::runtime_error("soak: the neighbour's process has ended");
  return held_ = static_cast<std::size_t>(answer);
}

int run_neighbour(const neighbour_options& options) {
  auto device = replay_device::open(options.device, options.sim_bytes);
  if (!device) throw bad_input(device.error().message());
  auto backend = device->make_backend();
  if (!backend) throw bad_input(backend.error().message());
  std::vector<void*> pieces;
  for (std::size_t bytes = 0; std::cin >> bytes;) {
    const std::size_t wanted = bytes / piece_bytes;
    while (pieces.size() > wanted) {
      if (!(*backend)->deallocate_direct(pieces.back())) return finding;
      pieces.pop_back();
    }
    while (pieces.size() < wanted) {
      const auto piece = (*backend)->allocate_direct(piece_bytes);
      if (!piece) break;
      pieces.push_back(*piece);
    }
    std::cout << pieces.size() * piece_bytes << std::endl;  // NOLINT(performance-avoid-endl): somebody waits for it
  }
  return fine;
}

}  // namespace weir::cli
