// SPDX-License-Identifier: Apache-2.0
//
// What weir asks of a device. A pool stands on one backend and calls nothing else; the CUDA backend and the simulated
// device are the two there are, and tests/support/backend_contract.hpp is what both must do.
//
// Conventions of every call below:
//   - noexcept, thread-safe, and answers with a `result`; a failure changes nothing;
//   - makes the device current for its own duration and puts the caller's back;
//   - never disturbs a stream capture of another thread or stream; asked to work on a capturing stream it answers
//     errc::stream_capturing before it touches it;
//   - an error that earlier work left in the device surfaces as errc::device_lost with CUDA's code, never as ours;
//   - bytes > 0; stream handles are never null (weir::raw_stream resolved it); a stream is of this device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "weir/result.hpp"
#include "weir/stream.hpp"

namespace weir {

// An event of the backend, made and destroyed by it.
struct backend_event;

enum class stream_kind { ordinary, legacy_default, per_thread_default };

struct stream_identity {
  std::uint64_t id = 0;  // unique for the life of the process, never reused, unlike the handle
  int device = 0;        // the stream's own device
  stream_kind kind = stream_kind::ordinary;
};

// All of the native pool of this backend. `reserved` is what it has from the driver, `used` what we have from it.
struct native_pool_bytes {
  std::size_t reserved = 0;
  std::size_t reserved_high = 0;  // since the last reset_reserved_high()
  std::size_t used = 0;
};

struct device_memory {
  std::size_t free = 0;
  std::size_t total = 0;
};

// A native pool as another process may open it. Of one made with handle_types.
struct exported_pool {
  unsigned handle_type = 0;            // which of the two is set: 1 POSIX file descriptor, 8 fabric
  int descriptor = -1;                 // sent by SCM_RIGHTS; who exports it, and who received it, each closes theirs
  std::array<std::byte, 64> fabric{};  // sent as it is
};

// What opens one native allocation of an exported pool; plain bytes.
using exported_allocation = std::array<std::byte, 64>;

// What a backend can do, and the sizes the layers above reason with. Constant for a backend's life.
struct backend_capabilities {
  const char* kind = "";    // "cuda" or "sim"
  std::string device_name;  // "NVIDIA H200"
  int device = 0;           // ordinal
  std::size_t device_bytes_total = 0;
  std::size_t chunk_bytes = 0;      // the native pool grows and remaps in these: 32 MiB, measured
  std::size_t granularity = 0;      // of native addresses and sizes: 512, measured
  bool costs_are_modelled = false;  // native calls take virtual time: see clock_adjustment_ns()
  bool can_trim = true;             // false for a pool made to be exported
  std::size_t pool_bytes_max = 0;   // the native pool never reserves more; 0: no limit of its own
};

class WEIR_EXPORT backend {
 public:
  virtual ~backend();
  virtual const backend_capabilities& capabilities() const noexcept = 0;

  // The native pool, in stream order. The range is usable by work put on `stream` after the call; it lies inside one
  // native allocation and begins at a multiple of granularity, whatever its size. errc::out_of_memory carries bytes and
  // what is free.
  virtual result<void*> allocate(std::size_t bytes, stream_handle stream) noexcept = 0;
  // `pointer` comes from allocate(); every use of it is ordered before this point of `stream`.
  virtual result<void> deallocate(void* pointer, stream_handle stream) noexcept = 0;
  // Gives free chunks back to the driver until at most `bytes_to_keep` are reserved. What is freed but not seen
  // complete stays: wait first for something recorded behind the free; of frees on own_stream() synchronize_device()
  // does it.
  virtual result<void> trim(std::size_t bytes_to_keep) noexcept = 0;
  virtual result<native_pool_bytes> pool_bytes() noexcept = 0;
  virtual result<void> reset_reserved_high() noexcept = 0;
  virtual result<device_memory> memory() noexcept = 0;
  // Work on another device may read and write what comes from the native pool, now and later; growing then costs a
  // mapping on each such device. errc::not_supported with the reason where the devices cannot reach each other, or the
  // backend does not say; errc::no_such_device. Makes no context there.
  virtual result<void> allow_access(int device) noexcept;
  // The same of direct memory: cudaDeviceEnablePeerAccess, which is the process's setting, covers every cudaMalloc of
  // this device and makes the other's context.
  virtual result<void> allow_direct_access(int device) noexcept;

  // Outside the native pool: cudaMalloc and cudaFree. The second synchronises the device.
  virtual result<void*> allocate_direct(std::size_t bytes) noexcept = 0;
  virtual result<void> deallocate_direct(void* pointer) noexcept = 0;

  // The backend's own non-blocking stream, on which the reservoir allocates and frees. Lives as long as the backend.
  // Nobody may capture it, or make it wait for events that this backend did not record.
  virtual stream_handle own_stream() noexcept = 0;
  // Non-blocking streams for programs that have no runtime of their own to make them with: tools and tests. The library
  // makes none. A stream is destroyed before its backend; work still on it completes.
  virtual result<stream_handle> create_stream() noexcept = 0;
  virtual result<void> destroy_stream(stream_handle stream) noexcept = 0;
  // The stream's id alone: what every call with a raw handle is verified by, so it must stay cheap (140 ns on CUDA).
  // Of the per-thread default stream it is the calling thread's. errc::stream_capturing for a capturing stream, and for
  // the legacy stream while a blocking stream of its device is being captured: CUDA tells no id then.
  virtual result<std::uint64_t> identify(stream_handle stream) noexcept = 0;
  // The whole identity, at first sight of a stream. errc::wrong_device for a stream of another device,
  // errc::stream_unsupported for one of a green or non-primary context, errc::stream_capturing as of identify().
  virtual result<stream_identity> examine(stream_handle stream) noexcept = 0;
  // True when all work put on `stream` so far has completed. Never waits.
  virtual result<bool> is_idle(stream_handle stream) noexcept = 0;

  virtual result<backend_event*> create_event() noexcept = 0;
  virtual void destroy_event(backend_event*) noexcept = 0;
  virtual result<void> record(backend_event*, stream_handle stream) noexcept = 0;
  // True when the work before the last record has completed. Never waits.
  virtual result<bool> query(backend_event*) noexcept = 0;
  // Work put on `stream` after the call runs after the event's last record. The host does not wait.
  virtual result<void> wait(stream_handle stream, backend_event*) noexcept = 0;
  // The host waits: for one event, for all that the device has been given so far. The second too leaves captures alone,
  // which cudaDeviceSynchronize does not (measured on an H200, driver 580).
  virtual result<void> synchronize(backend_event*) noexcept = 0;
  virtual result<void> synchronize_device() noexcept = 0;

  // For another process: the native pool's handle of one type, 0 for the first of its own; and what opens one live
  // allocation of the native pool, given by its own address. errc::not_supported with the reason.
  virtual result<exported_pool> export_pool(unsigned handle_type) noexcept;
  virtual result<exported_allocation> export_allocation(void* pointer) noexcept;

  // The time that work and waits take, in nanoseconds since some moment: the host's steady clock, or the virtual time
  // of a simulated device. Never goes back. What a pool's trim policies reckon with.
  virtual std::uint64_t now_ns() const noexcept;
  // What has to be added to measured host time to get a real device's: modelled cost less the real time spent in the
  // model, summed over this thread's calls, where costs_are_modelled; 0 elsewhere. Only differences mean anything.
  virtual std::int64_t clock_adjustment_ns() const noexcept { return 0; }
};

// Properties of the native pool that a CUDA backend makes.
struct cuda_backend_options {
  // cudaMemPoolProps::maxSize, rounded up to chunks by the driver; the default lets the driver decide.
  std::size_t pool_bytes_max = 0;
  // cudaMemAllocationHandleType bits: 0 none, 1 POSIX file descriptor, 8 fabric. A pool with a handle type can be
  // exported to other processes and cannot be trimmed.
  unsigned handle_types = 0;
};

// A native pool of another process, opened in this one; what weir::imported_pool stands on. Conventions as above.
class WEIR_EXPORT native_import {
 public:
  virtual ~native_import();
  // One allocation of it at an address of this process, once at a time; and its end, with no work on it unfinished.
  virtual result<void*> map(const exported_allocation&) noexcept = 0;
  virtual result<void> unmap(void* pointer) noexcept = 0;
  virtual result<void> synchronize_device() noexcept = 0;
  // As a backend's: the exporter's permissions are not inherited.
  virtual result<void> allow_access(int device) noexcept = 0;
};

// Number of CUDA devices; errc::built_without_cuda, errc::no_cuda_device.
WEIR_EXPORT result<int> cuda_device_count() noexcept;
// The device a stream belongs to; of a special handle, the calling thread's current device. Makes no context.
WEIR_EXPORT result<int> cuda_stream_device(stream_handle stream) noexcept;
// Makes a private native pool on `device` (never touches the default pool) with an unlimited release threshold.
WEIR_EXPORT result<std::unique_ptr<backend>> make_cuda_backend(int device, const cuda_backend_options& = {}) noexcept;
// Opens another process's native pool on the same GPU, whose ordinal in this process is `device`.
WEIR_EXPORT result<std::unique_ptr<native_import>> make_cuda_import(int device, const exported_pool&) noexcept;

}  // namespace weir
