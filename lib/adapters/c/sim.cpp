// SPDX-License-Identifier: Apache-2.0
//
// The simulated device, in C.
#include "weir/sim.hpp"

#include "adapters/c/edge.hpp"
#include "weir/c_sim.h"

struct weir_sim_device {
  std::shared_ptr<weir::sim::device> device;
};

namespace {

using weir::c_edge::guarded;
using weir::c_edge::hand_out;
using weir::c_edge::invalid;
using weir::c_edge::read_options;
using weir::c_edge::read_struct;

// Runs `act` on the device; what it throws is a bug of the caller's: a stream of another device, a destroyed one.
template <class Act>
weir_status on_device(weir_sim_device* handle, Act act) noexcept {
  if (!handle) return invalid("no simulated device");
  return guarded([&] {
    act(*handle->device);
    return WEIR_OK;
  });
}

}  // namespace

weir_status weir_sim_device_create(const weir_sim_options* options, weir_sim_device** device) {
  if (!device) return invalid("weir_sim_device_create: nowhere to put the device");
  weir_sim_options given;
  if (const weir_status read = read_struct(options, given, "weir_sim_options: struct_bytes"); read != WEIR_OK) {
    return read;
  }
  return guarded([&] {
    weir::sim::options chosen;
    chosen.ordinal = given.ordinal;
    if (given.bytes_total) chosen.bytes_total = given.bytes_total;
    *device = new weir_sim_device{weir::sim::device::make(chosen)};
    return WEIR_OK;
  });
}

void weir_sim_device_destroy(weir_sim_device* device) { delete device; }

weir_status weir_pool_create_simulated(weir_sim_device* device, const weir_options* options, weir_pool** pool) {
  if (!device || !pool) return invalid("weir_pool_create_simulated: no device, or nowhere to put the pool");
  weir::pool_options chosen;
  if (const weir_status read = read_options(options, chosen); read != WEIR_OK) return read;
  return guarded(
      [&] { return hand_out(weir::pool::try_make(device->device->make_backend(), std::move(chosen)), pool); });
}

weir_status weir_sim_stream_create(weir_sim_device* device, CUstream_st** stream) {
  if (!stream) return invalid("weir_sim_stream_create: nowhere to put the stream");
  return on_device(device, [&](weir::sim::device& own) { *stream = own.create_stream(); });
}

weir_status weir_sim_stream_destroy(weir_sim_device* device, CUstream_st* stream) {
  return on_device(device, [&](weir::sim::device& own) { own.destroy_stream(stream); });
}

weir_status weir_sim_set_capturing(weir_sim_device* device, CUstream_st* stream, int is_capturing) {
  return on_device(device, [&](weir::sim::device& own) { own.set_capturing(stream, is_capturing != 0); });
}

weir_status weir_sim_launch(weir_sim_device* device, CUstream_st* stream, uint64_t duration_ns, const void* pointer,
                            size_t bytes) {
  return on_device(device, [&](weir::sim::device& own) { own.launch(stream, duration_ns, {{pointer, bytes}}); });
}

weir_status weir_sim_order(weir_sim_device* device, CUstream_st* earlier, CUstream_st* later) {
  return on_device(device, [&](weir::sim::device& own) { own.order(earlier, later); });
}

weir_status weir_sim_synchronize(weir_sim_device* device) {
  return on_device(device, [](weir::sim::device& own) { own.synchronize(); });
}

uint64_t weir_sim_now_ns(const weir_sim_device* device) { return device ? device->device->now_ns() : 0; }

size_t weir_sim_violation_count(const weir_sim_device* device) {
  return device ? device->device->violations().size() : 0;
}
