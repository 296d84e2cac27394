// SPDX-License-Identifier: Apache-2.0
#include "adapters/python/host_api.hpp"

#include "adapters/python/process_pools.hpp"
#include "weir/options_text.hpp"

namespace {

using weir::errc;
using weir::c_edge::answer;
using weir::c_edge::fail;
using weir::c_edge::give;
using weir::c_edge::guarded;
using weir::c_edge::stream_of;
using weir::python::process_pools;

process_pools& pools() { return process_pools::the(); }

weir_status no_recorder() {
  return fail({.code = errc::invalid_argument, .what = "weir_host_trace_begin: weir was not installed to be traced"});
}

weir_status as_status(weir::result<void, weir::trace::file_error> done) {
  if (done) return WEIR_OK;
  return fail({.code = errc::invalid_argument,
               .what = "the trace",
               .detail = std::make_shared<const std::string>(done.error().message())});
}

}  // namespace

weir_status weir_host_configure(const char* text, unsigned flags) {
  return guarded([&] {
    auto options = weir::parse_pool_options(text ? text : "");
    if (options) options = weir::options_from_environment(std::move(*options));
    if (!options) return fail(std::move(options).error());
    return answer(pools().configure({.options = std::move(*options),
                                     .is_simulated = (flags & WEIR_HOST_SIMULATED) != 0,
                                     .is_traceable = (flags & WEIR_HOST_TRACEABLE) != 0,
                                     .has_peers = (flags & WEIR_HOST_NO_PEERS) == 0}));
  });
}

weir_status weir_host_pool(int device, weir_pool** pool) {
  auto made = pools().on(device);
  *pool = made ? *made : nullptr;
  return made ? WEIR_OK : fail(std::move(made).error());
}

weir_pool* weir_host_pool_if_made(int device) { return pools().if_made(device); }

uint64_t weir_host_live_count(void) { return pools().live_count(); }

weir_status weir_host_allocate(int device, size_t bytes, CUstream_st* stream, void** pointer) {
  return give(pools().allocate(device, bytes, stream_of(stream)), pointer);
}

weir_status weir_host_deallocate(void* pointer, size_t bytes, int device) {
  return answer(pools().deallocate(pointer, bytes, device));
}

weir_status weir_host_record_use(void* pointer, CUstream_st* stream) {
  return answer(pools().record_use(pointer, stream_of(stream)));
}

weir_status weir_host_release_free(void) { return answer(pools().release_free()); }

weir_status weir_host_set_memory_fraction(int device, double fraction) {
  return answer(pools().set_memory_fraction(device, fraction));
}

weir_status weir_host_allocate_for_all(int device, size_t bytes, void** pointer) {
  return give(pools().allocate_for_all(device, bytes), pointer);
}

weir_status weir_host_deallocate_from_all(void* pointer, size_t bytes, int device) {
  return answer(pools().deallocate_from_all(pointer, bytes, device));
}

void weir_host_hold_gathered(int device, int change) { pools().hold_gathered(device, change); }

weir_status weir_host_trace_begin(const char* path) {
  weir::trace::recorder* recorder = pools().recorder();
  if (!recorder) return no_recorder();
  return guarded([&] { return as_status(recorder->begin(path)); });
}

weir_status weir_host_trace_end(void) {
  weir::trace::recorder* recorder = pools().recorder();
  return recorder ? as_status(recorder->end()) : WEIR_OK;
}

// --- CuPy -----------------------------------------------------------------------------------------------------------

void* weir_cupy_malloc(void* param, size_t bytes, int device) {
  const auto current_stream = reinterpret_cast<intptr_t (*)()>(param);
  void* block = nullptr;
  (void)weir_host_allocate(device, bytes, reinterpret_cast<CUstream_st*>(current_stream()), &block);
  return block;
}

void weir_cupy_free(void* /*param*/, void* pointer, int device) {
  weir::python::report_unless_over(pools().deallocate(pointer, 0, device));
}
