// SPDX-License-Identifier: Apache-2.0
//
// The driver imports native allocations, of which many blocks are cut: each is imported with the first block of it and
// freed with the last. An exporter's address names it meanwhile, since the exporter keeps it while a block of it lives.
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>

#include "weir/sharing.hpp"

namespace weir {

namespace detail {

struct import_state {
  struct mapping {
    void* begin = nullptr;
    std::size_t bytes = 0;
    std::size_t blocks = 0;
  };

  explicit import_state(std::unique_ptr<native_import> made) : native(std::move(made)) {}

  result<void*> take(const exported_block&);
  result<void> give(std::uint64_t allocation) noexcept;

  const std::unique_ptr<native_import> native;
  std::mutex mutex;  // held over the native calls: two threads must not import the same allocation
  std::unordered_map<std::uint64_t, mapping> mappings;
};

result<void*> import_state::take(const exported_block& what) {
  const std::lock_guard lock(mutex);
  const auto [found, is_new] = mappings.try_emplace(what.allocation);
  mapping& here = found->second;
  if (is_new) {
    const auto begin = native->map(what.native);
    if (!begin) {
      mappings.erase(found);
      return begin.error();
    }
    here = {.begin = *begin, .bytes = what.allocation_bytes};
  } else if (here.bytes != what.allocation_bytes) {
    return error{.code = errc::invalid_argument, .what = "a block of an allocation that was freed while imported"};
  }
  ++here.blocks;
  return static_cast<void*>(static_cast<std::byte*>(here.begin) + what.offset);
}

// Work on other blocks of the allocation may go on.
result<void> import_state::give(std::uint64_t allocation) noexcept {
  auto waited = native->synchronize_device();
  const std::lock_guard lock(mutex);
  const auto found = mappings.find(allocation);
  if (found == mappings.end() || --found->second.blocks > 0) return waited;
  void* const begin = found->second.begin;
  mappings.erase(found);
  auto done = native->unmap(begin);
  return waited ? std::move(done) : std::move(waited);
}

}  // namespace detail

// --- a block --------------------------------------------------------------------------------------------------------

imported_block::imported_block() noexcept = default;

imported_block::imported_block(imported_block&& other) noexcept
    : from_(std::move(other.from_)),
      allocation_(other.allocation_),
      pointer_(std::exchange(other.pointer_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

imported_block& imported_block::operator=(imported_block&& other) noexcept {
  if (this == &other) return *this;
  (void)release();
  from_ = std::move(other.from_);
  allocation_ = other.allocation_;
  pointer_ = std::exchange(other.pointer_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

imported_block::~imported_block() { (void)release(); }

result<void> imported_block::release() noexcept {
  if (!pointer_) return {};
  pointer_ = nullptr;
  bytes_ = 0;
  const auto from = std::move(from_);
  return from->give(allocation_);
}

// --- a pool ---------------------------------------------------------------------------------------------------------

imported_pool::imported_pool(std::unique_ptr<native_import> native)
    : state_(std::make_shared<detail::import_state>(std::move(native))) {}

result<imported_pool> imported_pool::open(int device, const exported_pool& from) noexcept {
  auto native = make_cuda_import(device, from);
  if (!native) return std::move(native).error();
  try {
    return imported_pool(std::move(*native));
  } catch (const std::bad_alloc&) {
    return error{.code = errc::internal, .what = "no host memory for an imported pool"};
  }
}

result<imported_block> imported_pool::import_block(const exported_block& what) noexcept {
  if (!state_) return error{.code = errc::null_pool};
  if (what.bytes == 0 || what.offset > what.allocation_bytes || what.bytes > what.allocation_bytes - what.offset)
    return error{.code = errc::invalid_argument, .what = "an exported block that lies in no native allocation"};
  try {
    const auto pointer = state_->take(what);
    if (!pointer) return pointer.error();
    imported_block out;
    out.from_ = state_;
    out.allocation_ = what.allocation;
    out.pointer_ = *pointer;
    out.bytes_ = what.bytes;
    return out;
  } catch (const std::bad_alloc&) {
    return error{.code = errc::internal, .what = "no host memory for an imported block"};
  }
}

result<void> imported_pool::allow_peer(int device) noexcept {
  if (!state_) return error{.code = errc::null_pool};
  return state_->native->allow_access(device);
}

}  // namespace weir
