// SPDX-License-Identifier: Apache-2.0
//
// The simulated device of weir/sim.hpp in C: so that a binding can be tested where there is no GPU.
//
//     weir_sim_device* device = NULL;
//     weir_sim_device_create(NULL, &device);
//     weir_pool_create_simulated(device, NULL, &pool);
//     weir_sim_stream_create(device, &stream);
//     …
//     weir_pool_destroy(pool);
//     if (weir_sim_violation_count(device) != 0) …        // a block was used before its last user had done
//     weir_sim_device_destroy(device);
//
// No address it gives may be read or written. Conventions as in weir/c.h.
#pragma once

#include "weir/c.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_sim_device weir_sim_device;

// Zeros, or a null pointer: a device of 140 GiB.
typedef struct weir_sim_options {
  size_t struct_bytes;
  size_t bytes_total;
  int ordinal;
} weir_sim_options;

WEIR_EXPORT weir_status weir_sim_device_create(const weir_sim_options* options, weir_sim_device** device);
// Pools on it keep the device alive; its streams go.
WEIR_EXPORT void weir_sim_device_destroy(weir_sim_device* device);
WEIR_EXPORT weir_status weir_pool_create_simulated(weir_sim_device* device, const weir_options* options,
                                                   weir_pool** pool);

WEIR_EXPORT weir_status weir_sim_stream_create(weir_sim_device* device, struct CUstream_st** stream);
WEIR_EXPORT weir_status weir_sim_stream_destroy(weir_sim_device* device, struct CUstream_st* stream);
// As cudaStreamBeginCapture and cudaStreamEndCapture would.
WEIR_EXPORT weir_status weir_sim_set_capturing(weir_sim_device* device, struct CUstream_st* stream, int is_capturing);
// A kernel of so many nanoseconds that writes `bytes` at `pointer`. Each use has to be ordered after the last one.
WEIR_EXPORT weir_status weir_sim_launch(weir_sim_device* device, struct CUstream_st* stream, uint64_t duration_ns,
                                        const void* pointer, size_t bytes);
// The program's own events: `later` waits for what `earlier` has so far. And the host waits for all there is.
WEIR_EXPORT weir_status weir_sim_order(weir_sim_device* device, struct CUstream_st* earlier, struct CUstream_st* later);
WEIR_EXPORT weir_status weir_sim_synchronize(weir_sim_device* device);
// Virtual time since the device was made: the modelled cost of native calls.
WEIR_EXPORT uint64_t weir_sim_now_ns(const weir_sim_device* device);
// Uses of memory that its last user was not ordered before, or that is not allocated.
WEIR_EXPORT size_t weir_sim_violation_count(const weir_sim_device* device);

#ifdef __cplusplus
}
#endif
