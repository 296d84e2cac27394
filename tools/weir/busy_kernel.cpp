// SPDX-License-Identifier: Apache-2.0
#include "busy_kernel.hpp"

#include "busy_kernel_cuda.hpp"
#include "replay_device.hpp"

namespace weir::cli {
namespace {

result<void> answer(int native_code, const char* what) noexcept {
  if (native_code == 0) return {};
  return error{.code = errc::cuda, .native_code = native_code, .what = what};
}

}  // namespace

result<busy_kernel> busy_kernel::make(const replay_device& device) {
  busy_kernel kernel;
  kernel.sim_ = device.simulated();
  kernel.ordinal_ = device.ordinal();
  if (kernel.sim_) return kernel;
  if (!has_cuda_busy_kernel())
    return error{.code = errc::not_supported,
                 .what = "kernels on a CUDA device: this weir was built without nvcc, the CUDA compiler"};
  if (auto done = answer(load_cuda_busy_kernel(kernel.ordinal_), "loading a kernel"); !done)
    return std::move(done).error();
  return kernel;
}

result<void> busy_kernel::launch(stream_handle stream, std::uint64_t duration_ns,
                                 std::span<const sim::range> writes) const noexcept {
  if (!sim_) return answer(launch_cuda_busy_kernel(ordinal_, stream, duration_ns), "launching a kernel");
  sim_->launch(stream, duration_ns, writes);
  return {};
}

}  // namespace weir::cli
