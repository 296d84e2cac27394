// SPDX-License-Identifier: Apache-2.0
//
// Memory for CUDA graphs, in C.
#include "weir/capture.hpp"

#include "adapters/c/edge.hpp"

struct weir_graph_memory {
  weir::graph_memory memory;
};

// Has what its end hands out ready from the beginning, so that it cannot fail.
struct weir_capture {
  weir::capture_scope scope;
  std::unique_ptr<weir_graph_memory> share;
};

using weir::c_edge::answer;
using weir::c_edge::fail;
using weir::c_edge::guarded;
using weir::c_edge::invalid;
using weir::c_edge::on_pool;
using weir::c_edge::stream_of;

weir_status weir_capture_begin(weir_pool* pool, CUstream_st* stream, const weir_graph_memory* memory,
                               weir_capture** capture) {
  if (!capture) return invalid("weir_capture_begin: nowhere to put the scope");
  *capture = nullptr;
  return on_pool(pool, [&](weir::pool& own) {
    return guarded([&] {
      auto made = std::make_unique<weir_capture>();
      made->share = std::make_unique<weir_graph_memory>();
      auto scope = own.try_capture(stream_of(stream), memory ? memory->memory : weir::graph_memory());
      if (!scope) return fail(std::move(scope).error());
      made->scope = std::move(*scope);
      made->share->memory = made->scope.memory();
      *capture = made.release();
      return WEIR_OK;
    });
  });
}

weir_status weir_capture_memory(const weir_capture* capture, weir_graph_memory** memory) {
  if (!capture || !memory) return invalid("weir_capture_memory: no scope, or nowhere to put its memory");
  *memory = nullptr;
  return guarded([&] {
    *memory = new weir_graph_memory{capture->scope.memory()};
    return WEIR_OK;
  });
}

weir_status weir_capture_end(weir_capture* capture, weir_graph_memory** memory) {
  if (memory) *memory = nullptr;
  if (!capture) return WEIR_OK;
  if (memory) *memory = capture->share.release();
  delete capture;
  return WEIR_OK;
}

size_t weir_graph_memory_bytes(const weir_graph_memory* memory) { return memory ? memory->memory.bytes() : 0; }

weir_status weir_graph_memory_release(weir_graph_memory* memory, CUstream_st* stream) {
  if (!memory) return WEIR_OK;
  weir_status status = WEIR_OK;
  if (stream) status = answer(memory->memory.release(stream_of(stream)));
  delete memory;
  return status;
}
