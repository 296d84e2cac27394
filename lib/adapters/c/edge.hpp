// SPDX-License-Identifier: Apache-2.0
//
// What every function of the C edge is made of: answers become statuses, exceptions end here, structures are read and
// written as far as both sides know them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "weir/c.h"
#include "weir/pool.hpp"

// Shared with the pool's tokens: they find a null pool once it is gone.
struct weir_pool {
  std::shared_ptr<weir::pool> pool;
  int process = 0;             // that made it
  bool is_of_process = false;  // shared by the hosts of a process: nobody destroys it
};

struct weir_stream {
  std::shared_ptr<weir::pool> pool;
  weir::stream token;
};

namespace weir::c_edge {

// Both keep the error for weir_last_error(). Never throw.
WEIR_EXPORT weir_status fail(error why) noexcept;             // exported for libweir_torch.so beside a shared libweir
weir_status fail_as(weir_status status, error why) noexcept;  // for statuses that weir::errc has not

weir_status to_status(errc code) noexcept;

inline weir_status invalid(const char* what) noexcept { return fail({.code = errc::invalid_argument, .what = what}); }
inline weir_status no_host_memory() noexcept { return fail({.code = errc::internal, .what = "no host memory"}); }

template <class E>
weir_status answer(result<void, E> done) noexcept {
  return done ? WEIR_OK : fail(std::move(done).error());
}

// Runs what may throw.
template <class Act>
weir_status guarded(Act act) noexcept {
  try {
    return act();
  } catch (const std::bad_alloc&) {
    return no_host_memory();
  } catch (...) {
    return fail({.code = errc::internal, .what = "an exception at the C edge"});
  }
}

// The caller's handle, null resolved as C has it: the legacy default stream.
inline raw_stream stream_of(CUstream_st* handle) noexcept { return raw_stream(handle, detail::legacy_by_default{}); }

inline weir::pool* pool_of(const weir_pool* pool) noexcept { return pool ? pool->pool.get() : nullptr; }

// Runs `act` on the pool, or says that there is none.
template <class Act>
weir_status on_pool(const weir_pool* handle, Act act) noexcept {
  weir::pool* pool = pool_of(handle);
  return pool ? act(*pool) : fail({.code = errc::null_pool});
}

inline weir_status give(result<void*> block, void** pointer) noexcept {
  *pointer = block ? *block : nullptr;
  return block ? WEIR_OK : fail(std::move(block).error());
}

// Writes `from` to a caller's structure as far as that reaches; what it has beyond becomes zero.
template <class Struct>
weir_status write_struct(Struct from, Struct* to, const char* what) noexcept {
  const std::size_t bytes = to->struct_bytes;
  if (bytes < sizeof(std::size_t)) return invalid(what);
  from.struct_bytes = bytes;
  std::memcpy(static_cast<void*>(to), &from, std::min(bytes, sizeof(Struct)));
  if (bytes > sizeof(Struct)) {
    std::memset(reinterpret_cast<unsigned char*>(to) + sizeof(Struct), 0, bytes - sizeof(Struct));
  }
  return WEIR_OK;
}

// Reads a caller's structure; what it is short of is zero. Null reads as zeros. Something set that we do not know is
// refused: it would be ignored.
template <class Struct>
weir_status read_struct(const Struct* from, Struct& to, const char* what) noexcept {
  to = Struct{};
  to.struct_bytes = sizeof(Struct);
  if (!from) return WEIR_OK;
  const std::size_t bytes = from->struct_bytes;
  if (bytes < sizeof(std::size_t)) return invalid(what);
  const auto* begin = reinterpret_cast<const unsigned char*>(from);
  std::memcpy(static_cast<void*>(&to), from, std::min(bytes, sizeof(Struct)));
  to.struct_bytes = sizeof(Struct);
  const auto is_set = [](unsigned char byte) { return byte != 0; };
  if (bytes > sizeof(Struct) && std::any_of(begin + sizeof(Struct), begin + bytes, is_set)) {
    return fail({.code = errc::not_supported, .what = what});
  }
  return WEIR_OK;
}

weir_memory_report to_c(const memory_report& report) noexcept;
// What `options` asks for, over the defaults of this edge.
weir_status read_options(const weir_options* options, pool_options& out) noexcept;
// Takes the pool over for the caller.
weir_status hand_out(result<weir::pool> made, weir_pool** pool) noexcept;

}  // namespace weir::c_edge
