// SPDX-License-Identifier: Apache-2.0
#include "allocator_plugin.hpp"

#include <dlfcn.h>

#include "exit_code.hpp"
#include "replay_device.hpp"

namespace weir::cli {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw bad_input("plugin " + path + ": " + why);
}

std::string loader_error() {
  const char* text = dlerror();  // NOLINT(concurrency-mt-unsafe): of the calling thread with glibc
  return text ? text : "unknown error";
}

weir_plugin_open_function load(const std::string& path) {
  // A name without a slash would be looked for among the system's libraries.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* const object = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object) refuse(path, "cannot be loaded: " + loader_error());
  void* const open = dlsym(object, "weir_plugin_open");
  if (!open) refuse(path, "exports no weir_plugin_open, see weir/plugin.h");
  return reinterpret_cast<weir_plugin_open_function>(open);
}

const char* missing_part(const weir_plugin& plugin) noexcept {
  if (!plugin.allocate) return "function allocate";
  if (!plugin.deallocate) return "function deallocate";
  if (!plugin.close) return "function close";
  if (!plugin.name || !*plugin.name) return "name";
  if (!plugin.reserved != !plugin.reserved_high) return "second of reserved and reserved_high";
  return nullptr;
}

bool is_taken(std::string_view name) noexcept {
  for (const char* ours : {"weir", "weir-raw", "native", "direct", "malloc", "mimalloc", "floor"})
    if (name == ours) return true;
  return false;
}

}  // namespace

std::optional<std::string> plugin_path(std::string_view allocator) {
  static constexpr std::string_view prefix = "plugin:";
  if (!allocator.starts_with(prefix)) return std::nullopt;
  return std::string(allocator.substr(prefix.size()));
}

void allocator_plugin::closer::operator()(weir_plugin* plugin) const noexcept {
  if (plugin->close) plugin->close(plugin->context);
  delete plugin;
}

allocator_plugin::allocator_plugin(const std::string& path, const replay_device& device) {
  const auto open = load(path);
  const int ordinal = device.is_simulated() ? WEIR_PLUGIN_SIMULATED_DEVICE : device.ordinal();
  auto plugin = std::make_unique<weir_plugin>();
  plugin->struct_bytes = sizeof(weir_plugin);
  plugin->version = WEIR_PLUGIN_VERSION;
  if (const int answer = open(ordinal, plugin.get()))
    refuse(path, "weir_plugin_open answered " + std::to_string(answer) + " for " +
                     (device.is_simulated() ? "the simulated device" : "device " + std::to_string(ordinal)));
  plugin_.reset(plugin.release());
  if (plugin_->version != WEIR_PLUGIN_VERSION)
    refuse(path, "speaks version " + std::to_string(plugin_->version) + " of the interface, not " +
                     std::to_string(WEIR_PLUGIN_VERSION));
  if (const char* missing = missing_part(*plugin_)) refuse(path, std::string("gives no ") + missing);
  name_ = plugin_->name;
  if (is_taken(name_)) refuse(path, "calls itself " + name_ + ", which is an allocator of ours");
}

}  // namespace weir::cli
