// SPDX-License-Identifier: Apache-2.0
#include "backend/sim/sim_backend.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "backend/sim/call_meter.hpp"

namespace weir::sim {
namespace {

constexpr int illegal_address = 700;  // cudaErrorIllegalAddress, what a lost device usually says
constexpr int unknown_error = 999;    // cudaErrorUnknown, what an injected fault says
constexpr std::uint64_t direct_granularity = std::uint64_t{2}
                                             << 20;  // cudaMalloc's pages; it packs small ones, we do not

std::uint64_t address(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }
void* pointer(std::uint64_t at) { return reinterpret_cast<void*>(at); }

std::uint64_t mib(std::uint64_t bytes) { return bytes >> 20; }

error refusal(errc code, const char* what, int native_code = 0) {
  return {.code = code, .native_code = native_code, .what = what};
}

address_window::part pool_part(device_state& device) {
  const std::lock_guard lock(device.mutex);
  const auto part = device.window.take_pool();
  if (!part) throw std::runtime_error("weir::sim: the device has no addresses for another backend");
  return *part;
}

backend_capabilities describe(const options& what) {
  return {.kind = "sim",
          .device_name = what.name,
          .device = what.ordinal,
          .device_bytes_total = what.bytes_total,
          .chunk_bytes = what.chunk_bytes,
          .granularity = what.granularity,
          .costs_are_modelled = true,
          .can_trim = true};
}

native_pool_model::config pool_config(const options& what, const address_window::part& part, std::size_t bytes_max) {
  const std::size_t chunk = what.chunk_bytes;
  const std::size_t limit = bytes_max == 0 || bytes_max > what.bytes_total ? what.bytes_total : bytes_max;
  return {part.begin, part.end, chunk, what.granularity, (limit + chunk - 1) / chunk * chunk};
}

}  // namespace

// One native call: meter, lock, and what every call may be refused for.
struct sim_backend::call {
  call_meter meter;
  device_state& device;
  std::lock_guard<std::mutex> lock;
  as_this_thread here;
  bool failed;

  call(device_state& d, std::uint64_t cost_ns) : device(d), lock(d.mutex), here(d), failed(false) {
    meter.pass(d, cost_ns);
    if (d.faults.strikes(fault::sticky)) d.lost = true;
  }
  call(device_state& d, std::uint64_t cost_ns, fault kind) : call(d, cost_ns) { failed = d.faults.strikes(kind); }

  bool refused() const { return device.lost || failed; }
  error why() const {
    if (device.lost) return refusal(errc::device_lost, nullptr, illegal_address);
    return refusal(errc::cuda, "injected fault", unknown_error);
  }
};

sim_backend::sim_backend(std::shared_ptr<device_state> device, std::size_t pool_bytes_max)
    : device_(std::move(device)),
      capabilities_(describe(device_->what)),
      addresses_(pool_part(*device_)),
      pool_(pool_config(device_->what, addresses_, pool_bytes_max)) {
  const std::lock_guard lock(device_->mutex);
  own_stream_ = device_->streams.create(true);
}

sim_backend::~sim_backend() {
  const std::lock_guard lock(device_->mutex);
  device_->streams.destroy(own_stream_);
  device_->order.forget(addresses_.begin, addresses_.end);
  device_->pools_reserved -= pool_.reserved();
  device_->window.give_back_pool(addresses_);
}

result<virtual_streams::stream*> sim_backend::usable(stream_handle handle) {
  virtual_streams::stream* s = device_->streams.find(handle);
  if (!s) {
    const std::size_t window = address_window::window_of(reinterpret_cast<std::uint64_t>(handle));
    if (window != address_window::window_count && window != device_->window.index())
      return refusal(errc::wrong_device, "stream");
    return refusal(errc::invalid_argument, "stream: no such stream is alive");
  }
  if (device_->streams.is_capturing(*s)) return refusal(errc::stream_capturing, nullptr);
  return s;
}

error sim_backend::no_room(std::size_t bytes) const {
  return {.code = errc::out_of_memory, .bytes = bytes, .limit = pool_.available(device_->free_bytes())};
}

result<void*> sim_backend::allocate(std::size_t bytes, stream_handle handle) noexcept {
  const costs& cost = device_->what.costs;
  call c(*device_, cost.reuse_ns, fault::allocate);
  ++device_->calls.allocate;
  if (device_->lost) return c.why();
  const auto s = usable(handle);
  if (!s) return s.error();
  if (c.failed) return no_room(bytes);
  device_->streams.put(**s, device_->now_ns, 0);
  const taker who{(*s)->slot, &device_->order.clock((*s)->slot)};
  const std::size_t before = pool_.reserved();
  const auto made = pool_.allocate(bytes, who, device_->now_ns, device_->free_bytes());
  if (!made) return no_room(bytes);
  device_->pools_reserved += pool_.reserved() - before;
  device_->calls.grow += made->chunks_grown > 0;
  device_->calls.remap += made->chunks_remapped > 0;
  if (made->wait_for.stream != 0) device_->streams.hold_until(**s, made->wait_for.complete_at_ns);
  device_->order.allocate(made->address, pool_.bytes_of(made->address), (*s)->slot);
  if (made->chunks_grown > 0)
    c.meter.pass(*device_, cost.grow_ns + cost.grow_ns_per_mib * mib(made->chunks_grown * device_->what.chunk_bytes));
  c.meter.pass(*device_, cost.remap_ns_per_chunk * made->chunks_remapped);
  return pointer(made->address);
}

result<void> sim_backend::deallocate(void* what, stream_handle handle) noexcept {
  call c(*device_, device_->what.costs.deallocate_ns, fault::deallocate);
  ++device_->calls.deallocate;
  if (c.refused()) return c.why();
  const auto s = usable(handle);
  if (!s) return s.error();
  const std::uint64_t bytes = pool_.bytes_of(address(what));
  if (bytes == 0) return refusal(errc::invalid_argument, "pointer: no native allocation begins there");
  const std::uint64_t complete_at_ns = device_->streams.put(**s, device_->now_ns, 0);
  const stream_slot slot = (*s)->slot;
  device_->order.deallocate(address(what), bytes, slot);
  pool_.deallocate(address(what), {slot, device_->order.clock(slot)[slot], complete_at_ns}, device_->now_ns);
  return {};
}

result<void> sim_backend::trim(std::size_t bytes_to_keep) noexcept {
  const costs& cost = device_->what.costs;
  call c(*device_, cost.trim_ns, fault::trim);
  ++device_->calls.trim;
  if (c.refused()) return c.why();
  const std::uint64_t released = pool_.trim(bytes_to_keep, device_->seen, device_->now_ns);
  device_->pools_reserved -= released;
  c.meter.pass(*device_, cost.trim_ns_per_mib * mib(released));
  return {};
}

result<native_pool_bytes> sim_backend::pool_bytes() noexcept {
  call c(*device_, 0);
  if (c.refused()) return c.why();
  return native_pool_bytes{pool_.reserved(), pool_.reserved_high(), pool_.used()};
}

result<void> sim_backend::reset_reserved_high() noexcept {
  call c(*device_, 0);
  if (c.refused()) return c.why();
  pool_.reset_reserved_high();
  return {};
}

result<device_memory> sim_backend::memory() noexcept {
  call c(*device_, device_->what.costs.memory_ns);
  if (c.refused()) return c.why();
  return device_memory{device_->free_bytes(), device_->what.bytes_total};
}

result<void*> sim_backend::allocate_direct(std::size_t bytes) noexcept {
  const costs& cost = device_->what.costs;
  call c(*device_, cost.direct_allocate_ns, fault::allocate_direct);
  ++device_->calls.direct_allocate;
  if (device_->lost) return c.why();
  const error refused{.code = errc::out_of_memory, .bytes = bytes, .limit = device_->free_bytes()};
  if (c.failed || bytes > device_->free_bytes()) return refused;
  const std::uint64_t whole = (bytes + direct_granularity - 1) / direct_granularity * direct_granularity;
  const auto at = device_->direct_addresses.best_fit(whole, 0);
  if (whole > device_->free_bytes() || !at) return refused;
  device_->direct_addresses.remove(*at, *at + whole);
  device_->direct_live.emplace(*at, whole);
  device_->direct_reserved += whole;
  device_->order.allocate_direct(*at, bytes);
  c.meter.pass(*device_, cost.direct_allocate_ns_per_mib * mib(whole));
  return pointer(*at);
}

result<void> sim_backend::deallocate_direct(void* what) noexcept {
  const costs& cost = device_->what.costs;
  call c(*device_, cost.direct_deallocate_ns);
  ++device_->calls.direct_deallocate;
  if (c.refused()) return c.why();
  const auto it = device_->direct_live.find(address(what));
  if (it == device_->direct_live.end())
    return refusal(errc::invalid_argument, "pointer: no direct allocation begins there");
  const auto [at, bytes] = *it;
  c.meter.pass_until(*device_, device_->streams.all_complete_at());
  device_->order.observe_all();
  device_->order.forget(at, at + bytes);
  device_->direct_live.erase(it);
  device_->direct_addresses.insert(at, at + bytes, 0);
  device_->direct_reserved -= bytes;
  c.meter.pass(*device_, cost.direct_deallocate_ns_per_mib * mib(bytes));
  return {};
}

// No program makes streams where it counts time, so neither call has a cost.
result<stream_handle> sim_backend::create_stream() noexcept {
  call c(*device_, 0);
  if (c.refused()) return c.why();
  return device_->streams.create(true);
}

result<void> sim_backend::destroy_stream(stream_handle handle) noexcept {
  call c(*device_, 0);
  if (c.refused()) return c.why();
  if (const auto* s = device_->streams.find(handle)) device_->see(s->slot, device_->order.clock(s->slot));
  if (!device_->streams.destroy(handle)) return refusal(errc::invalid_argument, "destroy_stream: no such stream");
  return {};
}

result<std::uint64_t> sim_backend::identify(stream_handle handle) noexcept {
  const auto whole = look_up(handle);
  if (!whole) return whole.error();
  return whole->id;
}

result<stream_identity> sim_backend::examine(stream_handle handle) noexcept {
  const auto whole = look_up(handle);
  if (whole && whole->device != device_->what.ordinal) return refusal(errc::wrong_device, "stream");
  return whole;
}

// Also of a stream of another simulated device, as cudaStreamGetId answers for any.
result<stream_identity> sim_backend::look_up(stream_handle handle) noexcept {
  {
    call c(*device_, device_->what.costs.identify_ns);
    ++device_->calls.identify;
    if (c.refused()) return c.why();
    if (const auto* s = device_->streams.find(handle)) return identity_of(*s, *device_);
  }
  return identify_elsewhere(handle);
}

result<bool> sim_backend::is_idle(stream_handle handle) noexcept {
  call c(*device_, device_->what.costs.query_ns, fault::query);
  ++device_->calls.query;
  if (c.refused()) return c.why();
  const auto s = usable(handle);
  if (!s) return s.error();
  if ((*s)->ready_at_ns > device_->now_ns || device_->faults.strikes(fault::unfinished)) return false;
  device_->order.observe((*s)->slot);
  return true;
}

result<backend_event*> sim_backend::create_event() noexcept {
  call c(*device_, device_->what.costs.event_create_ns, fault::create_event);
  if (c.refused()) return c.why();
  return new backend_event;
}

void sim_backend::destroy_event(backend_event* event) noexcept {
  call c(*device_, device_->what.costs.event_create_ns);
  delete event;
}

result<void> sim_backend::record(backend_event* event, stream_handle handle) noexcept {
  call c(*device_, device_->what.costs.record_ns, fault::record);
  ++device_->calls.record;
  if (c.refused()) return c.why();
  const auto s = usable(handle);
  if (!s) return s.error();
  event->complete_at_ns = device_->streams.put(**s, device_->now_ns, 0);
  event->slot = (*s)->slot;
  event->clock = device_->order.clock((*s)->slot);
  return {};
}

result<bool> sim_backend::query(backend_event* event) noexcept {
  call c(*device_, device_->what.costs.query_ns, fault::query);
  ++device_->calls.query;
  if (c.refused()) return c.why();
  if (event->complete_at_ns > device_->now_ns || device_->faults.strikes(fault::unfinished)) return false;
  device_->order.observe(event->clock);
  return true;
}

result<void> sim_backend::wait(stream_handle handle, backend_event* event) noexcept {
  call c(*device_, device_->what.costs.wait_ns, fault::wait);
  ++device_->calls.wait;
  if (c.refused()) return c.why();
  const auto s = usable(handle);
  if (!s) return s.error();
  device_->streams.put(**s, device_->now_ns, 0);
  device_->streams.hold_until(**s, event->complete_at_ns);
  device_->order.follow((*s)->slot, event->clock);
  return {};
}

result<void> sim_backend::synchronize(backend_event* event) noexcept {
  call c(*device_, device_->what.costs.synchronize_ns, fault::synchronize);
  ++device_->calls.synchronize;
  if (c.refused()) return c.why();
  c.meter.pass_until(*device_, event->complete_at_ns);
  device_->order.observe(event->clock);
  device_->see(event->slot, event->clock);
  return {};
}

result<void> sim_backend::synchronize_device() noexcept {
  call c(*device_, device_->what.costs.synchronize_ns, fault::synchronize);
  ++device_->calls.synchronize;
  if (c.refused()) return c.why();
  c.meter.pass_until(*device_, device_->streams.all_complete_at());
  device_->order.observe_all();
  return {};
}

result<void> sim_backend::allow_access(int device) noexcept {
  call c(*device_, 0);
  if (c.refused()) return c.why();
  if (device < 0) return error{.code = errc::no_such_device, .bytes = static_cast<std::size_t>(device)};
  if (device == device_->what.ordinal || device_->what.has_peers) return {};
  return refusal(errc::not_supported, "peer access: the simulated device was made without (options::has_peers)");
}

namespace {

constexpr const char* stays_here = "export: a simulated device has no memory that another process could open";

}  // namespace

result<exported_pool> sim_backend::export_pool(unsigned /*handle_type*/) noexcept {
  return refusal(errc::not_supported, stays_here);
}

result<exported_allocation> sim_backend::export_allocation(void* /*pointer*/) noexcept {
  return refusal(errc::not_supported, stays_here);
}

std::uint64_t sim_backend::now_ns() const noexcept {
  const std::lock_guard lock(device_->mutex);
  return device_->now_ns;
}

std::int64_t sim_backend::clock_adjustment_ns() const noexcept { return thread_adjustment_ns; }

std::unique_ptr<backend> make_sim_backend(std::shared_ptr<device_state> device, std::size_t pool_bytes_max) {
  return std::make_unique<sim_backend>(std::move(device), pool_bytes_max);
}

}  // namespace weir::sim
