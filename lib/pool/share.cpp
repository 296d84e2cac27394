// SPDX-License-Identifier: Apache-2.0
//
// A pool's memory for others: for a second device, for a second process. What is shared is the native allocation that a
// block lies in, and where in it.
#include "cache/page_map.hpp"
#include "pool/pool_impl.hpp"

namespace weir::detail {

namespace {

using core::range_kind;

// The live block that begins at `at`: its bytes, 0 where none does. Of a live block nothing changes meanwhile.
std::size_t live_bytes(const core::big_block& b, std::uintptr_t at) noexcept {
  return b.begin == at && core::is_live(b.state.load(std::memory_order_relaxed)) ? b.asked : 0;
}

std::size_t live_bytes(const core::region& r, std::uintptr_t at) noexcept {
  const std::size_t granule = (at - r.begin) / core::granule_bytes;
  if (at < r.begin || granule >= r.granules) return 0;
  const core::range* here = r.table[granule].load(std::memory_order_relaxed);
  if (!here || here->home != &r) return 0;
  const auto kind = here->kind.load(std::memory_order_relaxed);
  unsigned block = 0;
  if (kind == range_kind::slab) {
    const auto where = core::position_in(*here, at);
    if (!where.inside) return 0;
    block = where.block;
  } else if (kind != range_kind::medium || r.at(here->first) != at) {
    return 0;
  }
  if (!core::is_live(here->states[block].load(std::memory_order_relaxed))) return 0;
  return kind == range_kind::slab ? core::class_bytes(here->index) : here->count * core::granule_bytes;
}

std::size_t live_bytes(const core::extent& e, std::uintptr_t at) noexcept {
  return e.kind == core::extent_kind::big ? live_bytes(static_cast<const core::big_block&>(e), at)
                                          : live_bytes(static_cast<const core::region&>(e), at);
}

}  // namespace

result<void> pool_impl::allow_peer(int peer) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  if (auto done = backend_->allow_access(peer); !done) return done;
  return backend_->allow_direct_access(peer);
}

result<exported_pool> pool_impl::export_pool(unsigned handle_type) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  return backend_->export_pool(handle_type);
}

result<exported_block> pool_impl::export_block(const void* p) noexcept {
  if (!is_mine()) return error{.code = errc::forked};
  const std::uintptr_t at = base::address(p);
  const core::extent* e = cache::page_map::find(at);
  if (!e || e->pool != id_) {
    if (!reservoir_.has_direct(p)) return error{.code = errc::foreign_pointer};
    return error{.code = errc::not_supported, .what = "export of a direct block (cudaIpcGetMemHandle is for those)"};
  }
  const std::size_t bytes = live_bytes(*e, at);
  if (bytes == 0) return error{.code = errc::foreign_pointer};
  const auto native = backend_->export_allocation(base::pointer(e->base));
  if (!native) return native.error();
  return exported_block{
      .allocation = e->base, .allocation_bytes = e->bytes, .offset = at - e->base, .bytes = bytes, .native = *native};
}

}  // namespace weir::detail
