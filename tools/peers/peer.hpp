// SPDX-License-Identifier: Apache-2.0
//
// What the plugins for other allocators have in common: C++ errors become answers, the device is made current on each
// thread that calls, and the class below becomes the functions of weir/plugin.h.
//
//     struct peer {
//       static constexpr const char* name = "mine";
//       explicit peer(int device);                                    // may throw
//       void* allocate(std::size_t bytes, cudaStream_t stream);       // may throw
//       void deallocate(void* pointer, std::size_t bytes, cudaStream_t stream);
//       std::size_t reserved() const;
//       std::size_t reserved_high() const;
//     };
//     WEIR_PEER(peer)
#pragma once

#include <cstdio>
#include <cuda_runtime_api.h>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>

#include "weir/plugin.h"

namespace weir_peer {

inline constexpr int failed = 999;  // cudaErrorUnknown

inline void check(cudaError_t status) {
  if (status == cudaErrorMemoryAllocation) throw std::bad_alloc();
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

inline void make_current(int device) {
  static thread_local int current = -1;
  if (current == device) return;
  check(cudaSetDevice(device));
  current = device;
}

// What the body does not throw is 0.
template <class Body>
int answer(const char* name, const Body& body) noexcept {
  try {
    body();
    return 0;
  } catch (const std::bad_alloc&) {
    return WEIR_PLUGIN_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name, e.what());
  } catch (...) {
    std::fprintf(stderr, "%s: unknown exception\n", name);
  }
  return failed;
}

template <class Peer>
class plugin_of {
 public:
  static int open(int device, weir_plugin* plugin) noexcept {
    if (plugin->version != WEIR_PLUGIN_VERSION || plugin->struct_bytes < sizeof(weir_plugin)) return failed;
    if (device < 0) return cudaErrorInvalidDevice;
    return answer(Peer::name, [&] {
      make_current(device);
      plugin->context = new plugin_of(device);
      plugin->name = Peer::name;
      plugin->allocate = allocate;
      plugin->deallocate = deallocate;
      plugin->close = [](void* context) { delete static_cast<plugin_of*>(context); };
      plugin->reserved = [](void* context) { return self(context).peer_.reserved(); };
      plugin->reserved_high = [](void* context) { return self(context).peer_.reserved_high(); };
    });
  }

 private:
  explicit plugin_of(int device) : device_(device), peer_(device) {}
  static plugin_of& self(void* context) noexcept { return *static_cast<plugin_of*>(context); }

  static int allocate(void* context, std::size_t bytes, CUstream_st* stream, void** pointer) noexcept {
    return answer(Peer::name, [&] {
      make_current(self(context).device_);
      *pointer = self(context).peer_.allocate(bytes, stream);
    });
  }
  static int deallocate(void* context, void* pointer, std::size_t bytes, CUstream_st* stream) noexcept {
    return answer(Peer::name, [&] {
      make_current(self(context).device_);
      self(context).peer_.deallocate(pointer, bytes, stream);
    });
  }

  int device_;
  Peer peer_;
};

}  // namespace weir_peer

#define WEIR_PEER(type)                                                                                \
  extern "C" __attribute__((visibility("default"))) int weir_plugin_open(int device, weir_plugin* p) { \
    return weir_peer::plugin_of<type>::open(device, p);                                                \
  }
