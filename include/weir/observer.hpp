// SPDX-License-Identifier: Apache-2.0
//
// One listener told of what a pool does: recorders, leak trackers and logs are observers.
//
//     struct counter : weir::observer {
//       std::atomic<long> live{0};
//       void on_allocate(const weir::allocation_event&) noexcept override { ++live; }
//       void on_deallocate(const weir::allocation_event&) noexcept override { --live; }
//     };
#pragma once

#include <cstddef>
#include <cstdint>

#include "weir/error.hpp"

namespace weir {

enum class allocation_kind : std::uint8_t { pool, direct };

struct allocation_event {
  const void* pointer = nullptr;
  std::size_t bytes = 0;        // as requested; on a free: as given, or what the block has
  std::size_t alignment = 0;    // of an allocation
  std::uint64_t stream_id = 0;  // 0 for direct allocations
  int device = 0;
  allocation_kind kind = allocation_kind::pool;
};

// A live block was announced to be used on another stream: pool::record_use().
struct use_event {
  const void* pointer = nullptr;
  std::uint64_t stream_id = 0;
  int device = 0;
};

// Live blocks found when a pool is destroyed.
struct leak_event {
  std::size_t bytes = 0;  // rounded
  std::size_t count = 0;
  const void* oldest = nullptr;  // the block that has been live longest, as far as is known
  std::size_t oldest_bytes = 0;
  int device = 0;
};

enum class native_call : std::uint8_t { allocate, deallocate, trim, direct_allocate, direct_deallocate };

struct native_event {
  native_call call = native_call::allocate;
  const void* pointer = nullptr;
  std::size_t bytes = 0;
  std::size_t reserved = 0;  // the native pool's, after the call
  int device = 0;
};

// Called from whatever thread does the operation, outside all locks of the pool but one: on_native is told while the
// device's other native calls wait. An implementation is thread-safe and does not call the pool back.
class WEIR_EXPORT observer {
 public:
  virtual ~observer();
  virtual void on_allocate(const allocation_event&) noexcept {}
  virtual void on_deallocate(const allocation_event&) noexcept {}
  virtual void on_use(const use_event&) noexcept {}
  virtual void on_failure(const error&) noexcept {}
  virtual void on_native(const native_event&) noexcept {}
  virtual void on_leak(const leak_event&) noexcept {}
};

}  // namespace weir
