// SPDX-License-Identifier: Apache-2.0
//
// A native pool of another process. The driver frees an imported allocation without waiting for anybody, so whoever
// unmaps has waited.
#include <bit>
#include <new>

#include "backend/cuda/call_scope.hpp"
#include "backend/cuda/device.hpp"
#include "backend/cuda/device_wait.hpp"
#include "backend/cuda/sharing.hpp"

namespace weir {
namespace cuda {
namespace {

class cuda_import final : public native_import {
 public:
  // Throws std::bad_alloc. Has nothing yet: open() does the rest.
  explicit cuda_import(const device& opened) : device_(opened) {}
  ~cuda_import() override {
    if (pool_) (void)call("cuMemPoolDestroy", [&] { return api().pool_destroy(pool_); });
    if (stream_) (void)call("cuStreamDestroy", [&] { return api().stream_destroy(stream_); });
  }

  result<void> open(const exported_pool& from) noexcept {
    auto made = call("cuStreamCreate", [&] { return api().stream_create(&stream_, CU_STREAM_NON_BLOCKING); });
    if (!made) return made;
    CUmemFabricHandle fabric{};
    static_assert(sizeof fabric.data == sizeof from.fabric);
    fabric = std::bit_cast<CUmemFabricHandle>(from.fabric);
    const bool is_descriptor = from.handle_type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    void* const handle = is_descriptor ? reinterpret_cast<void*>(static_cast<std::intptr_t>(from.descriptor))
                                       : static_cast<void*>(&fabric);
    return call("cuMemPoolImportFromShareableHandle", [&] {
      return api().pool_import(&pool_, handle, static_cast<CUmemAllocationHandleType>(from.handle_type), 0);
    });
  }

  result<void*> map(const exported_allocation& what) noexcept override {
    auto data = std::bit_cast<CUmemPoolPtrExportData>(what);
    CUdeviceptr address = 0;
    auto done = call("cuMemPoolImportPointer", [&] { return api().pool_import_pointer(&address, pool_, &data); });
    if (!done) return done.error();
    return reinterpret_cast<void*>(address);
  }
  result<void> unmap(void* pointer) noexcept override {
    return call("cuMemFree", [&] { return api().free(reinterpret_cast<CUdeviceptr>(pointer)); });
  }
  result<void> synchronize_device() noexcept override {
    return call("waiting for the device", [&] { return device_wait_(api(), stream_); });
  }
  result<void> allow_access(int device) noexcept override { return let_into_pool(device_, pool_, device); }

 private:
  const driver_api& api() const noexcept { return *device_.api; }
  template <class Call>
  result<void> call(const char* what, Call&& body) const noexcept {
    return call_driver(api(), device_.context, what, static_cast<Call&&>(body));
  }

  const device device_;
  CUstream stream_ = nullptr;  // nobody's: asked for errors while the device is waited for
  CUmemoryPool pool_ = nullptr;
  device_wait device_wait_;
};

result<std::unique_ptr<native_import>> open_import(int ordinal, const exported_pool& from) {
  const bool is_known = (from.handle_type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR && from.descriptor >= 0) ||
                        from.handle_type == CU_MEM_HANDLE_TYPE_FABRIC;
  if (!is_known) return error{.code = errc::invalid_argument, .what = "an exported pool without a handle"};
  const auto opened = open_device(ordinal);
  if (!opened) return opened.error();
  if (auto can = require_handle_types(*opened, from.handle_type); !can) return can.error();
  auto made = std::make_unique<cuda_import>(*opened);
  if (auto done = made->open(from); !done) return done.error();
  return std::unique_ptr<native_import>(std::move(made));
}

}  // namespace
}  // namespace cuda

result<std::unique_ptr<native_import>> make_cuda_import(int device, const exported_pool& from) noexcept {
  try {
    return cuda::open_import(device, from);
  } catch (const std::bad_alloc&) {
    return error{.code = errc::internal, .what = "no host memory for an imported pool"};
  }
}

}  // namespace weir
