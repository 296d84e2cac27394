// SPDX-License-Identifier: Apache-2.0
//
// What needs torch's own types, so it is compiled against torch's headers: its out-of-memory exception, and the hooks
// by which it tells of CUDA graphs. libweir_torch.so does without; then running out of memory is a RuntimeError, and an
// allocation while a graph is captured is one too.
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>
#include <functional>
#include <torch/version.h>
#include <type_traits>
#include <utility>

#include "adapters/python/host_api.hpp"

static_assert(std::is_same_v<c10::MempoolId_t, std::pair<unsigned long long, unsigned long long>>);

namespace {

void throw_torchs(int is_out_of_memory, const char* text) {
  TORCH_CHECK_WITH(OutOfMemoryError, !is_out_of_memory, text);
}

// Torch calls this before it begins the capture, on the stream that is current then.
void begin(int device, c10::MempoolId_t id, std::function<bool(cudaStream_t)> /*is_ours*/) {
  const auto stream = c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device));
  weir_torch_begin_capture(device, id.first, id.second, stream.stream());
}

void end(int device, c10::MempoolId_t id) { weir_torch_end_capture(device, id.first, id.second); }

void release(int device, c10::MempoolId_t id) { weir_torch_release_graph(device, id.first, id.second); }

}  // namespace

extern "C" {

// Addresses for the setters of torch._C._CUDAPluggableAllocator.
WEIR_EXPORT void* weir_torch_hook_begin(void) { return reinterpret_cast<void*>(&begin); }
WEIR_EXPORT void* weir_torch_hook_end(void) { return reinterpret_cast<void*>(&end); }
WEIR_EXPORT void* weir_torch_hook_release(void) { return reinterpret_cast<void*>(&release); }
WEIR_EXPORT void weir_torch_use_exceptions(void) { weir_torch_set_thrower(&throw_torchs); }
// "2.11": what it was compiled against.
WEIR_EXPORT const char* weir_torch_hooks_version(void) {
#define WEIR_TEXT_OF(x) #x
#define WEIR_VALUE_OF(x) WEIR_TEXT_OF(x)
  return WEIR_VALUE_OF(TORCH_VERSION_MAJOR) "." WEIR_VALUE_OF(TORCH_VERSION_MINOR);
}
}
