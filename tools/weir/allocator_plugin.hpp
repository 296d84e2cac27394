// SPDX-License-Identifier: Apache-2.0
//
// An allocator from a shared object (weir/plugin.h), as `--allocator plugin:FILE.so` names it.
//
//     if (const auto path = plugin_path(name)) allocator_plugin plugin(*path, device);
//     plugin->allocate(plugin->context, bytes, stream, &pointer);
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "weir/plugin.h"

namespace weir::cli {

class replay_device;

// FILE.so of "plugin:FILE.so"; nothing of another name, empty where the file is missing.
std::optional<std::string> plugin_path(std::string_view allocator);

class allocator_plugin {
 public:
  // Throws bad_input: no such file or none that can be loaded, no weir_plugin_open, an answer that is not 0, functions
  // that are missing. Opened once for each object; the shared object itself stays loaded until the process ends, since
  // nobody can tell what threads and exit handlers it has left behind.
  allocator_plugin(const std::string& path, const replay_device&);

  const weir_plugin* operator->() const noexcept { return plugin_.get(); }
  const std::string& name() const noexcept { return name_; }
  bool knows_reserved() const noexcept { return plugin_->reserved && plugin_->reserved_high; }

 private:
  struct closer {
    void operator()(weir_plugin*) const noexcept;
  };
  std::unique_ptr<weir_plugin, closer> plugin_;
  std::string name_;
};

}  // namespace weir::cli
