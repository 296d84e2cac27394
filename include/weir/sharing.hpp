// SPDX-License-Identifier: Apache-2.0
//
// Blocks of another process's pool, in this one. There:
//
//     weir::pool pool = weir::pool::make(0, {.handle_types = 1});     // 1: by file descriptor, 8: by fabric handle
//     send_descriptor(pool.export_pool().value().descriptor);         // once: SCM_RIGHTS over a Unix socket
//     send_bytes(pool.export_block(block).value());                   // each block, any way at all
//
// and here, in a process that did not come from it by fork alone:
//
//     auto from = weir::imported_pool::open(0, {.handle_type = 1, .descriptor = received}).value();
//     weir::imported_block block = from.import_block(received_bytes).value();
//     kernel<<<grid, threads, 0, stream>>>(block.pointer());
//     block.release().value();                                        // waits for the device; then tell the exporter
//
// The rules are the driver's. Work of the exporter that fills the block is complete before the importer uses it, and
// every importer has released it before the exporter frees it: weir cannot see across. A block that is an argument of
// both may be written by both; order is theirs. A pool made for export cannot be trimmed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "weir/backend.hpp"
#include "weir/export.hpp"
#include "weir/result.hpp"

namespace weir {

// A block as another process may open it. Plain bytes of one layout in every process of this version.
struct exported_block {
  std::uint64_t allocation = 0;        // the native allocation it lies in: which of them, no address of the importer's
  std::uint64_t allocation_bytes = 0;  // of that
  std::uint64_t offset = 0;            // of the block in it
  std::uint64_t bytes = 0;             // of the block, rounded as the pool rounds
  exported_allocation native{};
};
static_assert(std::is_trivially_copyable_v<exported_block>);

namespace detail {
struct import_state;
}

// A block that lives in another process. Keeps what it was imported from alive.
class WEIR_EXPORT imported_block {
 public:
  imported_block() noexcept;
  imported_block(imported_block&&) noexcept;
  imported_block& operator=(imported_block&&) noexcept;
  // As release(); what that answers is lost.
  ~imported_block();

  void* pointer() const noexcept { return pointer_; }  // null once it was released
  std::size_t bytes() const noexcept { return bytes_; }
  // Waits for the device, so that the exporter may free the block after it was told. A second call does nothing.
  result<void> release() noexcept;

 private:
  friend class imported_pool;
  std::shared_ptr<detail::import_state> from_;
  std::uint64_t allocation_ = 0;
  void* pointer_ = nullptr;
  std::size_t bytes_ = 0;
};

// A pool of another process: it gives the blocks that are told of, and allocates none. Thread-safe.
class WEIR_EXPORT imported_pool {
 public:
  // On the GPU that the exporter's is, whatever its ordinal here. The descriptor may be closed afterwards.
  // errc::not_supported with the reason where the platform lets no other process in, errc::invalid_argument.
  static result<imported_pool> open(int device, const exported_pool&) noexcept;
  // What another kind of device makes.
  explicit imported_pool(std::unique_ptr<native_import>);

  // Blocks may share a native allocation, which is imported once and let go with the last of them.
  result<imported_block> import_block(const exported_block&) noexcept;
  // As pool::allow_peer(), for what is imported: permissions do not come along.
  result<void> allow_peer(int device) noexcept;

 private:
  std::shared_ptr<detail::import_state> state_;
};

}  // namespace weir
