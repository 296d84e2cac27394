// SPDX-License-Identifier: Apache-2.0
#include "adapters/python/process_pools.hpp"

#include <pthread.h>
#include <unistd.h>

#include "weir/options_text.hpp"

namespace weir::python {

namespace {

// Set in every child of a process that came here.
std::atomic<bool> has_forked{false};

// Torch turns on CUDA's own peer access where it copies between devices, and takes it for granted from then on; a
// native pool's memory is not covered by that. Where a device cannot be reached, torch knows.
void open_to_peers(backend& from) noexcept {
  const auto count = cuda_device_count();
  const int own = from.capabilities().device;
  for (int device = 0; count && device < *count; ++device) {
    if (device != own) (void)from.allow_access(device).has_value();
  }
}

constexpr std::size_t gathered_count_max = 64;
// Of the device's memory.
constexpr std::size_t gathered_share = 32;

error no_device(int device) noexcept {
  return {.code = errc::no_such_device, .bytes = static_cast<std::size_t>(device), .limit = devices_max};
}

}  // namespace

process_pools::process_pools() {
  pthread_atfork(nullptr, nullptr, [] { has_forked.store(true, std::memory_order_relaxed); });
}

process_pools::~process_pools() {
  graphs_.clear();
  for (auto& pool : pools_) delete pool.exchange(nullptr);
}

process_pools& process_pools::the() noexcept {
  static auto* const mine = new process_pools;  // NOLINT(bugprone-unhandled-exception-at-new): there is no going on
  return *mine;
}

bool process_pools::is_forked() const noexcept { return has_forked.load(std::memory_order_relaxed); }

result<void> process_pools::configure(setup chosen) noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& pool : pools_) {
    if (pool.load()) return error{.code = errc::invalid_argument, .what = "weir is at work already, its options stand"};
  }
  try {
    recorder_ = chosen.is_traceable ? std::make_shared<trace::recorder>() : nullptr;
    chosen.options.observer = recorder_;
    setup_ = std::move(chosen);
  } catch (...) {
    return error{.code = errc::internal, .what = "no host memory"};
  }
  return {};
}

// --- pools ----------------------------------------------------------------------------------------------------------

weir_pool* process_pools::if_made(int device) const noexcept {
  if (device < 0 || device >= devices_max) return nullptr;
  return pools_[static_cast<std::size_t>(device)].load(std::memory_order_acquire);
}

result<weir_pool*> process_pools::on(int device) noexcept {
  if (is_forked()) return error{.code = errc::forked};
  if (weir_pool* made = if_made(device)) [[likely]]
    return made;
  if (device < 0 || device >= devices_max) return no_device(device);
  const std::lock_guard lock(mutex_);
  if (weir_pool* made = if_made(device)) return made;
  return make(device);
}

result<std::unique_ptr<backend>> process_pools::make_backend(int device) const noexcept {
  if (simulated_) return simulated_->make_backend();
  cuda_backend_options native{.handle_types = setup_.options.handle_types};
  if (setup_.options.bytes_max != SIZE_MAX) native.pool_bytes_max = setup_.options.bytes_max;
  return make_cuda_backend(device, native);
}

// With the lock held.
result<weir_pool*> process_pools::make(int device) noexcept {
  try {
    if (setup_.is_simulated) simulated_ = sim::device::make({.ordinal = device});
    auto backend = make_backend(device);
    if (!backend) return std::move(backend).error();
    const auto at = static_cast<std::size_t>(device);
    pool_options options = setup_.options;
    if (fractions_[at] > 0) {
      const auto total = static_cast<double>((*backend)->capabilities().device_bytes_total);
      options.bytes_max = std::min(options.bytes_max, static_cast<std::size_t>(fractions_[at] * total));
    }
    if (setup_.has_peers) open_to_peers(**backend);
    auto own = (*backend)->create_stream();
    if (!own) return std::move(own).error();
    auto pool = weir::pool::try_make(std::move(*backend), std::move(options));
    if (!pool) return std::move(pool).error();
    auto token = pool->stream(*own);
    if (!token) return std::move(token).error();
    auto handle = std::make_unique<weir_pool>();
    handle->pool = std::make_shared<weir::pool>(std::move(*pool));
    handle->process = getpid();
    handle->is_of_process = true;
    streamless_[at].own = std::move(*token);
    pools_[at].store(handle.get(), std::memory_order_release);
    return handle.release();
  } catch (...) {
    return error{.code = errc::internal, .what = "no host memory for a pool"};
  }
}

// --- blocks in stream order -----------------------------------------------------------------------------------------

result<void*> process_pools::allocate(int device, std::size_t bytes, raw_stream stream) noexcept {
  auto made = on(device);
  if (!made) return std::move(made).error();
  if (bytes == 0) return static_cast<void*>(nullptr);
  weir::pool& pool = *(*made)->pool;
  auto name = pool.identify(stream);
  if (!name) return std::move(name).error();
  auto block = pool.try_allocate(bytes, *name);
  if (!block && block.error().code == errc::out_of_memory) {
    if (auto released = release_gathered(device, pool); !released) return std::move(released).error();
    block = pool.try_allocate(bytes, *name);
  }
  if (!block) return block;
  try {
    blocks_.add(*block, {*name, device});
  } catch (...) {
    (void)pool.try_deallocate_late(*block, 0, *name).has_value();
    return error{.code = errc::internal, .what = "no host memory"};
  }
  return block;
}

result<void> process_pools::deallocate(void* block, std::size_t bytes, int device) noexcept {
  if (!block) return {};
  if (is_forked()) return error{.code = errc::forked};
  auto known = blocks_.remove(block);
  if (!known) return error{.code = errc::foreign_pointer};
  result<void> done;
  if (device >= 0 && device != known->device) {
    done = error{.code = errc::wrong_device, .what = "a block of another device"};
  } else {
    done = if_made(known->device)->pool->try_deallocate_late(block, bytes, known->stream);
  }
  if (!done) blocks_.add(block, std::move(*known));  // there was room for it
  return done;
}

result<void> process_pools::record_use(void* block, raw_stream stream) noexcept {
  if (!block) return {};
  if (is_forked()) return error{.code = errc::forked};
  const auto device = blocks_.device_of(block);
  if (!device) return error{.code = errc::foreign_pointer};
  return if_made(*device)->pool->record_use(block, stream);
}

// --- blocks for all streams -----------------------------------------------------------------------------------------

// What the pool made that stream wait for has happened when this returns.
result<void> process_pools::wait_for_own(weir::pool& pool, const weir::stream& own) noexcept {
  backend& device = pool.backend();
  const auto idle = device.is_idle(own.handle());
  if (!idle) return idle.error();
  if (*idle) return {};
  auto event = device.create_event();
  if (!event) return std::move(event).error();
  auto done = device.record(*event, own.handle());
  if (done) done = device.synchronize(*event);
  device.destroy_event(*event);
  return done;
}

result<void> process_pools::release_gathered(int device, weir::pool& pool) noexcept {
  streamless& here = streamless_[static_cast<std::size_t>(device)];
  std::vector<gathered_block> gone;
  {
    const std::lock_guard lock(here.mutex);
    gone.swap(here.gathered);
    here.gathered_bytes = 0;
  }
  if (gone.empty()) return {};
  auto done = pool.backend().synchronize_device();
  for (const gathered_block& each : gone) {
    // Where the device cannot be waited for nothing is right any more, and what stays allocated harms nobody.
    if (done) done = pool.try_deallocate(each.pointer, each.bytes, here.own);
  }
  return done;
}

result<void*> process_pools::allocate_for_all(int device, std::size_t bytes) noexcept {
  auto made = on(device);
  if (!made) return std::move(made).error();
  if (bytes == 0) return static_cast<void*>(nullptr);
  weir::pool& pool = *(*made)->pool;
  const weir::stream& own = streamless_[static_cast<std::size_t>(device)].own;
  auto block = pool.try_allocate(bytes, own);
  if (!block && block.error().code == errc::out_of_memory) {
    if (auto released = release_gathered(device, pool); !released) return std::move(released).error();
    block = pool.try_allocate(bytes, own);
  }
  if (!block) return block;
  if (auto waited = wait_for_own(pool, own); !waited) {
    (void)pool.try_deallocate(*block, bytes, own).has_value();
    return std::move(waited).error();
  }
  return block;
}

result<void> process_pools::deallocate_from_all(void* block, std::size_t bytes, int device) noexcept {
  if (!block) return {};
  if (is_forked()) return error{.code = errc::forked};
  weir_pool* made = if_made(device);
  if (!made) return error{.code = errc::foreign_pointer};
  streamless& here = streamless_[static_cast<std::size_t>(device)];
  const std::size_t total = made->pool->backend().capabilities().device_bytes_total;
  {
    const std::lock_guard lock(here.mutex);
    try {
      here.gathered.push_back({block, bytes});
    } catch (...) {
      return error{.code = errc::internal, .what = "no host memory"};
    }
    here.gathered_bytes += bytes;
    if (here.holds > 0) return {};
    if (here.gathered.size() < gathered_count_max && here.gathered_bytes < total / gathered_share) return {};
  }
  return release_gathered(device, *made->pool);
}

void process_pools::hold_gathered(int device, int change) noexcept {
  if (device < 0 || device >= devices_max || is_forked()) return;
  streamless& here = streamless_[static_cast<std::size_t>(device)];
  const std::lock_guard lock(here.mutex);
  here.holds += change;
}

// --- limits and graphs ----------------------------------------------------------------------------------------------

result<void> process_pools::release_free() noexcept {
  if (is_forked()) return error{.code = errc::forked};
  result<void> all;
  for (int device = 0; device < devices_max; ++device) {
    weir_pool* made = if_made(device);
    if (!made) continue;
    auto done = release_gathered(device, *made->pool);
    if (done) {
      if (auto trimmed = made->pool->synchronize_and_trim(0); !trimmed) done = std::move(trimmed).error();
    }
    if (!done && all) all = std::move(done);
  }
  return all;
}

result<void> process_pools::set_memory_fraction(int device, double fraction) noexcept {
  if (is_forked()) return error{.code = errc::forked};
  if (device < 0 || device >= devices_max) return no_device(device);
  if (!(fraction > 0 && fraction <= 1)) {
    return error{.code = errc::invalid_argument, .what = "a memory fraction that is not above 0 and at most 1"};
  }
  const std::lock_guard lock(mutex_);
  if (weir_pool* made = if_made(device)) {
    const auto total = static_cast<double>(made->pool->backend().capabilities().device_bytes_total);
    return made->pool->set_bytes_max(static_cast<std::size_t>(fraction * total));
  }
  fractions_[static_cast<std::size_t>(device)] = fraction;
  return {};
}

result<void> process_pools::begin_capture(int device, graph_id id, raw_stream stream) noexcept {
  auto made = on(device);
  if (!made) return std::move(made).error();
  auto name = (*made)->pool->identify(stream);
  if (!name) return std::move(name).error();
  const std::lock_guard lock(graphs_mutex_);
  end_scopes_on(*name);
  try {
    graph& g = graphs_[{device, id}];
    auto scope = (*made)->pool->try_capture(*name, g.memory);
    if (!scope) {
      if (g.begun == 0) graphs_.erase({device, id});
      return std::move(scope).error();
    }
    g.memory = scope->memory();
    g.scopes.push_back({std::move(*name), std::move(*scope)});
    ++g.begun;
  } catch (...) {
    return error{.code = errc::internal, .what = "no host memory"};
  }
  return {};
}

void process_pools::end_scopes_on(const weir::stream& on) noexcept {
  for (auto& [id, g] : graphs_) std::erase_if(g.scopes, [&](const open_scope& each) { return each.on == on; });
}

result<void> process_pools::end_capture(int device, graph_id id) noexcept {
  if (is_forked()) return error{.code = errc::forked};
  const std::lock_guard lock(graphs_mutex_);
  const auto at = graphs_.find({device, id});
  if (at != graphs_.end() && !at->second.scopes.empty()) at->second.scopes.pop_back();
  return {};
}

result<void> process_pools::release_graph(int device, graph_id id) noexcept {
  if (is_forked()) return error{.code = errc::forked};
  const std::lock_guard lock(graphs_mutex_);
  const auto at = graphs_.find({device, id});
  if (at != graphs_.end() && --at->second.begun <= 0) graphs_.erase(at);
  return {};
}

}  // namespace weir::python
