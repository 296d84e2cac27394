// SPDX-License-Identifier: Apache-2.0
#include "weir/backend.hpp"

namespace weir {

backend::~backend() = default;

result<stream_handle> backend::create_stream() noexcept {
  return error{.code = errc::not_supported, .what = "create_stream"};
}

result<void> backend::destroy_stream(stream_handle /*stream*/) noexcept {
  return error{.code = errc::not_supported, .what = "destroy_stream"};
}

}  // namespace weir
