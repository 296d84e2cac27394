// SPDX-License-Identifier: Apache-2.0
//
// Memory for CUDA graphs, in C; a part of weir/c.h, which includes it, and its conventions hold.
//
//     weir_capture_begin(pool, stream, NULL, &capture);    // before cudaStreamBeginCapture
//     … capture; allocations on the stream are the graph's from here on …
//     weir_capture_end(capture, &memory);                  // after cudaStreamEndCapture
//     … launch the graph as often as you like …
//     weir_graph_memory_release(memory, stream);           // after its last launch on the stream
//
// What is promised, and asked: weir/capture.hpp. Of each handle one thread ends it, and nobody uses it afterwards.
#pragma once

#include "weir/c.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_capture weir_capture;            // an open scope: weir::capture_scope
typedef struct weir_graph_memory weir_graph_memory;  // a share: weir::graph_memory

// With a memory, from what other captures had, or have at this moment on other streams; with null, from new.
// WEIR_INVALID_ARGUMENT where the stream has an open scope already, or the memory is another pool's.
WEIR_EXPORT weir_status weir_capture_begin(weir_pool* pool, struct CUstream_st* stream, const weir_graph_memory* memory,
                                           weir_capture** capture);
// Another share of the memory behind an open scope: for the scope of a stream that is forked to.
WEIR_EXPORT weir_status weir_capture_memory(const weir_capture* capture, weir_graph_memory** memory);
// Always ends it, and gives a share of its memory; where `memory` is null, none: then the memory goes unless somebody
// else has a share. A null capture is fine, and its memory null.
WEIR_EXPORT weir_status weir_capture_end(weir_capture* capture, weir_graph_memory** memory);
// Native bytes that are nobody else's for its sake; 0 for null.
WEIR_EXPORT size_t weir_graph_memory_bytes(const weir_graph_memory* memory);
// Gives the share up, whatever it answers. The last one's end gives the memory back: behind the work that `stream` has
// now, without waiting; or, for a null stream, which here says that nothing is known (WEIR_STREAM_LEGACY is the legacy
// one), after waiting for the device. A null memory is fine.
WEIR_EXPORT weir_status weir_graph_memory_release(weir_graph_memory* memory, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
