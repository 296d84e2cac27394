// SPDX-License-Identifier: Apache-2.0
#include "replay_device.hpp"

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace weir::cli {
namespace {

// N of "cuda:N"; "cuda" is device 0.
std::optional<int> ordinal_of(std::string_view name) {
  if (name == "cuda") return 0;
  static constexpr std::string_view prefix = "cuda:";
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  int ordinal = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), ordinal);
  if (problem != std::errc{} || end != name.data() + name.size() || ordinal < 0) return std::nullopt;
  return ordinal;
}

}  // namespace

result<replay_device> replay_device::open(const std::string& name, std::size_t sim_bytes) {
  if (name.empty()) return choose(sim_bytes);
  if (name == "sim") return open_sim(sim_bytes, {});
  if (const auto ordinal = ordinal_of(name)) return open_cuda(*ordinal);
  return error{.code = errc::invalid_argument, .what = "--device is sim, cuda or cuda:N"};
}

result<replay_device> replay_device::choose(std::size_t sim_bytes) {
  const auto count = cuda_device_count();
  if (count && *count > 0) return open_cuda(0);
  const bool is_built_without = !count && count.error().code == errc::built_without_cuda;
  return open_sim(sim_bytes, is_built_without ? "built without CUDA" : "no CUDA device found");
}

result<replay_device> replay_device::open_cuda(int ordinal) {
  // Asked first, because of a missing device and of a missing backend it knows the name.
  auto count = cuda_device_count();
  if (!count) return std::move(count).error();
  if (*count == 0) return error{.code = errc::no_cuda_device, .what = "--device cuda"};
  if (ordinal >= *count)
    return error{.code = errc::no_such_device,
                 .bytes = static_cast<std::size_t>(ordinal),
                 .limit = static_cast<std::size_t>(*count),
                 .what = "--device"};
  replay_device device;
  device.ordinal_ = ordinal;
  if (auto done = device.learn(); !done) return std::move(done).error();
  return device;
}

result<replay_device> replay_device::open_sim(std::size_t bytes, std::string choice) {
  replay_device device;
  // As measured on an H200: a program that launches is no infinite way ahead of its device.
  device.sim_ = sim::device::make({.bytes_total = bytes, .costs = {.launch_ns = 4'636}, .launches_max = 1024});
  device.choice_ = std::move(choice);
  if (auto done = device.learn(); !done) return std::move(done).error();
  return device;
}

result<void> replay_device::learn() {
  auto backend = make_backend();
  if (!backend) return std::move(backend).error();
  name_ = (*backend)->capabilities().device_name;
  bytes_total_ = (*backend)->capabilities().device_bytes_total;
  return {};
}

result<std::unique_ptr<backend>> replay_device::make_backend(std::size_t bytes_max) const {
  if (sim_) return sim_->make_backend(bytes_max);
  return make_cuda_backend(ordinal_, {.pool_bytes_max = bytes_max});
}

}  // namespace weir::cli
