// SPDX-License-Identifier: Apache-2.0
//
// What stands for the CUDA backend in a build without the toolkit: every question has one answer.
#include "weir/backend.hpp"

namespace weir {

result<int> cuda_device_count() noexcept {
  return error{.code = errc::built_without_cuda, .what = "cuda_device_count"};
}

result<int> cuda_stream_device(stream_handle /*stream*/) noexcept {
  return error{.code = errc::built_without_cuda, .what = "cuda_stream_device"};
}

result<std::unique_ptr<backend>> make_cuda_backend(int /*device*/, const cuda_backend_options& /*options*/) noexcept {
  return error{.code = errc::built_without_cuda, .what = "make_cuda_backend"};
}

result<std::unique_ptr<native_import>> make_cuda_import(int /*device*/, const exported_pool& /*from*/) noexcept {
  return error{.code = errc::built_without_cuda, .what = "make_cuda_import"};
}

}  // namespace weir
