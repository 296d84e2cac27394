// SPDX-License-Identifier: Apache-2.0
#include "weir/backend.hpp"

#include <chrono>

namespace weir {

backend::~backend() = default;
native_import::~native_import() = default;

result<exported_pool> backend::export_pool(unsigned /*handle_type*/) noexcept {
  return error{.code = errc::not_supported, .what = "export by this backend"};
}

result<exported_allocation> backend::export_allocation(void* /*pointer*/) noexcept {
  return error{.code = errc::not_supported, .what = "export by this backend"};
}

result<void> backend::allow_access(int /*device*/) noexcept {
  return error{.code = errc::not_supported, .what = "access from other devices"};
}

result<void> backend::allow_direct_access(int /*device*/) noexcept {
  return error{.code = errc::not_supported, .what = "access from other devices"};
}

std::uint64_t backend::now_ns() const noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace weir
