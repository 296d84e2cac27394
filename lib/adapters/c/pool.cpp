// SPDX-License-Identifier: Apache-2.0
//
// A pool's life, its blocks and the tokens of its streams, in C.
#include <unistd.h>

#include "adapters/c/edge.hpp"

namespace weir::c_edge {

weir_status hand_out(result<weir::pool> made, weir_pool** pool) noexcept {
  if (!made) return fail(std::move(made).error());
  return guarded([&] {
    auto handle = std::make_unique<weir_pool>();
    handle->pool = std::make_shared<weir::pool>(std::move(*made));
    handle->process = getpid();
    *pool = handle.release();
    return WEIR_OK;
  });
}

namespace {

// Tokens may have the pool too, and find it null from now on.
void end(weir_pool* handle) noexcept {
  *handle->pool = weir::pool();
  delete handle;
}

weir_status refuse_live(const weir::pool& pool) noexcept {
  return guarded([&] {
    const weir::statistics now = pool.statistics();
    if (now.live_count == 0) return WEIR_OK;
    return fail_as(WEIR_BLOCKS_LIVE, {.code = errc::invalid_argument, .bytes = now.allocated, .limit = now.live_count});
  });
}

// Runs `act` with the pool and the token behind a handle.
template <class Act>
weir_status on_token(const weir_stream* stream, Act act) noexcept {
  return stream ? act(*stream->pool, stream->token) : invalid("no weir_stream");
}

}  // namespace

}  // namespace weir::c_edge

using weir::c_edge::answer;
using weir::c_edge::end;
using weir::c_edge::fail;
using weir::c_edge::give;
using weir::c_edge::guarded;
using weir::c_edge::hand_out;
using weir::c_edge::invalid;
using weir::c_edge::on_pool;
using weir::c_edge::on_token;
using weir::c_edge::pool_of;
using weir::c_edge::read_options;
using weir::c_edge::refuse_live;
using weir::c_edge::stream_of;

weir_status weir_pool_create(int device, const weir_options* options, weir_pool** pool) {
  if (!pool) return invalid("weir_pool_create: nowhere to put the pool");
  weir::pool_options chosen;
  if (const weir_status read = read_options(options, chosen); read != WEIR_OK) return read;
  return hand_out(weir::pool::try_make(device, std::move(chosen)), pool);
}

weir_status weir_pool_destroy(weir_pool* pool) {
  if (!pool) return WEIR_OK;
  if (pool->is_of_process) return invalid("weir_pool_destroy: this pool belongs to the process");
  // In a child nobody can tell, nor does it matter: its blocks are the parent's.
  if (pool->process == getpid()) {
    if (const weir_status live = refuse_live(*pool->pool); live != WEIR_OK) return live;
  }
  end(pool);
  return WEIR_OK;
}

weir_status weir_pool_destroy_with_blocks(weir_pool* pool) {
  if (!pool) return WEIR_OK;
  if (pool->is_of_process) return invalid("weir_pool_destroy_with_blocks: this pool belongs to the process");
  end(pool);
  return WEIR_OK;
}

int weir_pool_device(const weir_pool* pool) {
  const weir::pool* own = pool_of(pool);
  return own ? own->device() : -1;
}

weir_status weir_allocate(weir_pool* pool, size_t bytes, CUstream_st* stream, void** pointer) {
  return weir_allocate_aligned(pool, bytes, weir::pool::alignment_default, stream, pointer);
}

weir_status weir_allocate_aligned(weir_pool* pool, size_t bytes, size_t alignment, CUstream_st* stream,
                                  void** pointer) {
  if (!pointer) return invalid("weir_allocate: nowhere to put the block");
  *pointer = nullptr;
  return on_pool(pool,
                 [&](weir::pool& own) { return give(own.try_allocate(bytes, stream_of(stream), alignment), pointer); });
}

weir_status weir_deallocate(weir_pool* pool, void* pointer, size_t bytes, CUstream_st* stream) {
  return on_pool(pool, [&](weir::pool& own) { return answer(own.try_deallocate(pointer, bytes, stream_of(stream))); });
}

weir_status weir_record_use(weir_pool* pool, void* pointer, CUstream_st* stream) {
  return on_pool(pool, [&](weir::pool& own) { return answer(own.record_use(pointer, stream_of(stream))); });
}

weir_status weir_allocate_direct(weir_pool* pool, size_t bytes, void** pointer) {
  if (!pointer) return invalid("weir_allocate_direct: nowhere to put the block");
  *pointer = nullptr;
  return on_pool(pool, [&](weir::pool& own) { return give(own.try_allocate_direct(bytes), pointer); });
}

weir_status weir_deallocate_direct(weir_pool* pool, void* pointer) {
  return on_pool(pool, [&](weir::pool& own) { return answer(own.try_deallocate_direct(pointer)); });
}

weir_status weir_retire(weir_pool* pool, CUstream_st* stream) {
  return on_pool(pool, [&](weir::pool& own) { return answer(own.retire(stream_of(stream))); });
}

weir_status weir_stream_open(weir_pool* pool, CUstream_st* handle, weir_stream** stream) {
  if (!stream) return invalid("weir_stream_open: nowhere to put the token");
  return on_pool(pool, [&](weir::pool& own) {
    auto token = own.stream(stream_of(handle));
    if (!token) return fail(std::move(token).error());
    return guarded([&] {
      *stream = new weir_stream{pool->pool, std::move(*token)};
      return WEIR_OK;
    });
  });
}

weir_status weir_stream_retire(weir_stream* stream) {
  return on_token(stream, [](weir::pool& pool, const weir::stream& token) { return answer(pool.retire(token)); });
}

void weir_stream_close(weir_stream* stream) { delete stream; }

weir_status weir_allocate_on(weir_stream* stream, size_t bytes, void** pointer) {
  if (!pointer) return invalid("weir_allocate_on: nowhere to put the block");
  *pointer = nullptr;
  return on_token(stream, [&](weir::pool& pool, const weir::stream& token) {
    return give(pool.try_allocate(bytes, token), pointer);
  });
}

weir_status weir_deallocate_on(weir_stream* stream, void* pointer, size_t bytes) {
  return on_token(stream, [&](weir::pool& pool, const weir::stream& token) {
    return answer(pool.try_deallocate(pointer, bytes, token));
  });
}

weir_status weir_record_use_on(weir_stream* stream, void* pointer) {
  return on_token(stream,
                  [&](weir::pool& pool, const weir::stream& token) { return answer(pool.record_use(pointer, token)); });
}
