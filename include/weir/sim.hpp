// SPDX-License-Identifier: Apache-2.0
//
// A simulated device: streams, events and virtual time, a native pool that grows, reuses and remaps as one was
// measured to do, a capacity, and a checker of stream order. It touches no memory; its addresses are numbers that no
// real allocation has.
//
//     auto device = weir::sim::device::make({.bytes_total = 16ull << 30});
//     auto pool = weir::pool::make(device->make_backend());
//     auto stream = device->create_stream();
//     void* p = pool->allocate(4096, stream);
//     device->launch(stream, 20'000, {{p, 4096}});     // a kernel of 20 µs that writes p
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "weir/backend.hpp"

namespace weir::sim {

// Host nanoseconds a native call takes, from a measurement on one H200 (ARCHITECTURE.md, "The simulated device").
struct costs {
  std::uint64_t reuse_ns = 550;  // allocate served by a free range
  std::uint64_t deallocate_ns = 480;
  std::uint64_t grow_ns = 0;  // set-up of a growth, and
  std::uint64_t grow_ns_per_mib = 900;
  std::uint64_t remap_ns_per_chunk = 31'000;
  std::uint64_t trim_ns = 36'000;
  std::uint64_t trim_ns_per_mib = 1'000;
  std::uint64_t record_ns = 246;
  std::uint64_t query_ns = 295;
  std::uint64_t wait_ns = 244;
  std::uint64_t event_create_ns = 180;
  std::uint64_t identify_ns = 67;
  std::uint64_t memory_ns = 6'511;
  std::uint64_t synchronize_ns = 406;
  std::uint64_t direct_allocate_ns = 35'000;
  std::uint64_t direct_allocate_ns_per_mib = 67;
  std::uint64_t direct_deallocate_ns = 35'000;
  std::uint64_t direct_deallocate_ns_per_mib = 290;
  std::uint64_t launch_ns = 0;  // of launch(); 4,636 where the host's own pace matters
};

struct options {
  std::string name = "simulated device";
  std::size_t bytes_total = std::size_t{140} << 30;
  std::size_t chunk_bytes = std::size_t{32} << 20;
  std::size_t granularity = 512;
  int ordinal = 0;
  sim::costs costs{};
  // Unfinished launches that a stream takes before the next waits for the oldest, in virtual time; 0: any number. A
  // CUDA device takes about a thousand.
  std::size_t launches_max = 0;
  // Whether other devices may be let in: allow_access() succeeds. Their accesses are not simulated.
  bool has_peers = false;
  // Each host thread knows for itself what it waited for, and tells another by hand_over() and take_over(); else they
  // count as one, in the order of their calls. What a pool learns through its backend it shares with its callers.
  bool threads_apart = false;
};

// A range of device memory a kernel touches.
struct range {
  const void* begin = nullptr;
  std::size_t bytes = 0;
};

// One access to memory that its last user was not ordered before, or to memory that is not allocated natively.
struct violation {
  std::string text;
  const void* address = nullptr;
};

// Which native call should fail next; for tests. Allocations answer errc::out_of_memory, the others errc::cuda; query
// covers is_idle, and synchronize both of its kinds. An unfinished one makes query answer "not yet" though it is: with
// as many as there are, an event that never completes for who only asks. A sticky fault strikes at any call, and from
// then on all calls of all backends of the device answer errc::device_lost.
enum class fault {
  allocate,
  deallocate,
  trim,
  create_event,
  record,
  wait,
  query,
  synchronize,
  allocate_direct,
  unfinished,
  sticky
};

// Thread-safe. Backends keep it alive. At most 48 may be alive in a process; make() throws std::runtime_error at the
// next, and make_backend() where the device has no addresses for another (14 backends on a device of 140 GiB).
// Direct allocations take whole pages of 2 MiB each, where cudaMalloc packs small ones.
class WEIR_EXPORT device : public std::enable_shared_from_this<device> {
 public:
  static std::shared_ptr<device> make(options = {});
  virtual ~device() = default;

  // A backend with a native pool of its own on this device. Several may stand side by side and share the capacity.
  // `pool_bytes_max` 0: no limit but the device.
  virtual std::unique_ptr<backend> make_backend(std::size_t pool_bytes_max = 0) = 0;

  // Streams. A destroyed stream's pending work completes; its handle may come back for another stream, with a new id.
  virtual stream_handle create_stream(bool non_blocking = true) = 0;
  virtual void destroy_stream(stream_handle) = 0;
  // Marks a stream as being captured, as cudaStreamBeginCapture would; what is launched on it meanwhile does not run,
  // and backends refuse it, and with a blocking stream the legacy stream too.
  virtual void set_capturing(stream_handle, bool) = 0;

  // Puts work of `duration_ns` on a stream that reads and writes ranges. Each write must be ordered after every
  // earlier use of those bytes and each read after the last write, else violations() grows. Order is what the
  // program made: streams, waits on events, and what the host observed complete (see options::threads_apart); that
  // work happens to have completed in virtual time orders nothing.
  virtual void launch(stream_handle, std::uint64_t duration_ns, std::span<const range> writes,
                      std::span<const range> reads = {}) = 0;
  void launch(stream_handle stream, std::uint64_t duration_ns, std::initializer_list<range> writes) {
    launch(stream, duration_ns, std::span<const range>(writes.begin(), writes.size()));
  }

  // The user's own events: `later` waits for what `earlier` has so far.
  virtual void order(stream_handle earlier, stream_handle later) = 0;
  virtual void synchronize(stream_handle) = 0;
  virtual void synchronize() = 0;
  // Where threads are apart: the calling thread leaves at `lock`, any address, what it knows complete, as one does who
  // unlocks; and takes what was left there, as one who locks.
  virtual void hand_over(const void* lock) = 0;
  virtual void take_over(const void* lock) = 0;

  // Virtual time, in nanoseconds since the device was made. Work completes as it passes; it passes with the modelled
  // cost of each native call and with advance().
  virtual std::uint64_t now_ns() const = 0;
  virtual void advance(std::uint64_t ns) = 0;

  // A neighbour on the same card: takes `bytes` of the capacity for itself until the next call says otherwise.
  virtual void set_neighbour_bytes(std::size_t bytes) = 0;
  // The next `count` calls of that kind fail, after `after` that do not.
  virtual void inject(fault, unsigned count, unsigned after = 0) = 0;

  virtual std::vector<violation> violations() const = 0;
  // How often each kind of native call ran since the device was made; for goldens.
  struct call_counts {
    std::uint64_t allocate = 0, deallocate = 0, trim = 0, grow = 0, remap = 0, record = 0, query = 0, wait = 0,
                  synchronize = 0, identify = 0, direct_allocate = 0, direct_deallocate = 0;
  };
  virtual call_counts calls() const = 0;
};

}  // namespace weir::sim
