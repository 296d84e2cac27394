// SPDX-License-Identifier: Apache-2.0
//
// One pool for each visible device, made at first use: never a context on a GPU that nobody asked for.
//
//     weir::pools pools({.bytes_max = 8ull << 30});
//     void* p = pools.on(stream)->allocate(bytes, stream);
#pragma once

#include <functional>
#include <memory>

#include "weir/pool.hpp"

namespace weir {

class WEIR_EXPORT pools {
 public:
  // Makes the backend of one device; the default is make_cuda_backend.
  using backend_maker = std::function<result<std::unique_ptr<backend>>(int device)>;

  explicit pools(pool_options = {});
  // For devices of another kind: `device_count` of them, made by `make`.
  pools(int device_count, backend_maker make, pool_options = {});
  ~pools();
  pools(const pools&) = delete;
  pools& operator=(const pools&) = delete;

  // How many devices there are; errc::no_cuda_device, errc::built_without_cuda.
  result<int> device_count() const noexcept;
  // The device's pool, made now if it was not. Thread-safe; the pointer lives as long as this object.
  // errc::no_such_device.
  result<pool*> on(int device) noexcept;
  // The pool of the stream's own device; a special handle means the current device.
  result<pool*> on(raw_stream) noexcept;
  // Makes the pool of every device and lets every other device use it (pool::allow_peer). All pairs are tried: those
  // that can do it do it, and the first that cannot is answered with its reason.
  result<void> allow_peers() noexcept;
  // Sums over the pools made so far; `streams` and `classes` stay empty.
  weir::statistics statistics() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace weir
