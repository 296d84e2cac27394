// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/sharing.hpp"

#include <bit>
#include <new>
#include <string>

#include "backend/cuda/call_scope.hpp"

namespace weir::cuda {
namespace {

constexpr unsigned type_descriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
constexpr unsigned type_fabric = CU_MEM_HANDLE_TYPE_FABRIC;

// A refusal with numbers in its reason; without them where the host has no memory for the text.
template <class Text>
error refusal(errc code, const char* what, Text&& text) noexcept {
  try {
    return {.code = code, .what = what, .detail = std::make_shared<const std::string>(text())};
  } catch (const std::bad_alloc&) {
    return {.code = code, .what = what};
  }
}

std::string bits(unsigned types) { return std::to_string(types); }

result<void> require_access(const device& home, int peer) noexcept {
  const auto handle = find_device(*home.api, peer);
  if (!handle) return handle.error();
  int can = 0;
  const auto asked = call_driver(*home.api, home.context, "cuDeviceCanAccessPeer",
                                 [&] { return home.api->device_can_access(&can, *handle, home.handle); });
  if (!asked) return asked.error();
  if (can) return {};
  return refusal(errc::not_supported, "peer access", [&] {
    return "device " + std::to_string(peer) + " cannot reach the memory of device " + std::to_string(home.ordinal) +
           " (cudaDeviceCanAccessPeer); copy through the host, or with cudaMemcpyPeerAsync";
  });
}

}  // namespace

result<void> let_into_pool(const device& home, CUmemoryPool pool, int peer) noexcept {
  if (peer == home.ordinal) return {};
  if (auto can = require_access(home, peer); !can) return can;
  CUmemAccessDesc access{};
  access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  access.location.id = peer;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return call_driver(*home.api, home.context, "cuMemPoolSetAccess",
                     [&] { return home.api->pool_set_access(pool, &access, 1); });
}

result<void> let_into_direct(const device& home, int peer) noexcept {
  if (peer == home.ordinal) return {};
  if (auto can = require_access(home, peer); !can) return can;
  const auto other = open_device(peer);
  if (!other) return other.error();
  return call_driver(*home.api, other->context, "cuCtxEnablePeerAccess", [&] {
    const CUresult status = home.api->context_enable_peer(home.context, 0);
    return status == CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED ? CUDA_SUCCESS : status;
  });
}

// --- to other processes ---------------------------------------------------------------------------------------------

error not_for_export() noexcept {
  return {.code = errc::not_supported, .what = "export of a pool made without pool_options::handle_types"};
}

result<void> require_handle_types(const device& d, unsigned handle_types) noexcept {
  if (handle_types == 0) return {};
  int supported = 0;
  auto asked = call_driver(*d.api, d.context, "cuDeviceGetAttribute", [&] {
    return d.api->device_get_attribute(&supported, CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, d.handle);
  });
  if (!asked) return asked;
  const auto there = static_cast<unsigned>(supported);
  if ((handle_types & ~there) == 0) return {};
  return refusal(errc::not_supported, "handle_types", [&] {
    return bits(handle_types) + " asked for, device " + std::to_string(d.ordinal) + " can export memory pools as " +
           bits(there) + " (cudaDevAttrMemoryPoolSupportedHandleTypes)";
  });
}

result<exported_pool> export_pool(const device& d, CUmemoryPool pool, unsigned handle_types, unsigned wanted) noexcept {
  if (handle_types == 0) return not_for_export();
  const unsigned type = wanted ? wanted : handle_types & (~handle_types + 1);
  if (!std::has_single_bit(type) || (type & handle_types) == 0 || (type != type_descriptor && type != type_fabric))
    return refusal(errc::invalid_argument, "handle type", [&] {
      return bits(type) + "; accepted: one of the pool's own, " + bits(handle_types) + ", that is 1 or 8";
    });
  exported_pool out{.handle_type = type};
  void* const into = type == type_descriptor ? static_cast<void*>(&out.descriptor) : out.fabric.data();
  auto done = call_driver(*d.api, d.context, "cuMemPoolExportToShareableHandle", [&] {
    return d.api->pool_export(into, pool, static_cast<CUmemAllocationHandleType>(type), 0);
  });
  if (!done) return done.error();
  return out;
}

}  // namespace weir::cuda
