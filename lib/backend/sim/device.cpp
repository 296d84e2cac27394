// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "backend/sim/device_state.hpp"
#include "weir/sim.hpp"

namespace weir::sim {
namespace {

class shared_device final : public device {
 public:
  explicit shared_device(options what) : state_(std::make_shared<device_state>(std::move(what))) {}

  std::unique_ptr<backend> make_backend(std::size_t pool_bytes_max) override {
    return make_sim_backend(state_, pool_bytes_max);
  }

  stream_handle create_stream(bool non_blocking) override {
    const std::lock_guard lock(state_->mutex);
    return state_->streams.create(non_blocking);
  }
  void destroy_stream(stream_handle handle) override {
    const std::lock_guard lock(state_->mutex);
    if (const auto* s = state_->streams.find(handle)) state_->see(s->slot, state_->order.clock(s->slot));
    if (!state_->streams.destroy(handle)) complain("destroy of", handle);
  }
  void set_capturing(stream_handle handle, bool capturing) override {
    const std::lock_guard lock(state_->mutex);
    if (auto* s = find("capture of", handle)) s->capturing = capturing;
  }

  void launch(stream_handle, std::uint64_t duration_ns, std::span<const range> writes,
              std::span<const range> reads) override;
  void order(stream_handle earlier, stream_handle later) override;
  void synchronize(stream_handle) override;
  void synchronize() override;
  void hand_over(const void* lock) override {
    const std::lock_guard held(state_->mutex);
    const as_this_thread here(*state_);
    state_->order.hand_over(lock);
  }
  void take_over(const void* lock) override {
    const std::lock_guard held(state_->mutex);
    const as_this_thread here(*state_);
    state_->order.take_over(lock);
  }

  std::uint64_t now_ns() const override {
    const std::lock_guard lock(state_->mutex);
    return state_->now_ns;
  }
  void advance(std::uint64_t ns) override {
    const std::lock_guard lock(state_->mutex);
    state_->now_ns += ns;
  }
  void set_neighbour_bytes(std::size_t bytes) override {
    const std::lock_guard lock(state_->mutex);
    state_->neighbour_bytes = bytes;
  }
  void inject(fault kind, unsigned count, unsigned after) override {
    const std::lock_guard lock(state_->mutex);
    state_->faults.add(kind, count, after);
  }
  std::vector<violation> violations() const override {
    const std::lock_guard lock(state_->mutex);
    return state_->order.violations();
  }
  call_counts calls() const override {
    const std::lock_guard lock(state_->mutex);
    return state_->calls;
  }

 private:
  // With the lock held. A dead handle is the program's mistake, so it is reported as one.
  virtual_streams::stream* find(const char* verb, stream_handle handle) {
    auto* s = state_->streams.find(handle);
    if (!s) complain(verb, handle);
    return s;
  }
  void complain(const char* verb, stream_handle handle) {
    state_->order.report(std::string(verb) + " a stream that is not alive", reinterpret_cast<std::uint64_t>(handle));
  }
  void use(const range& r, stream_slot slot, order_checker::access kind) {
    const char* verb = kind == order_checker::access::write ? "write" : "read";
    if (r.bytes > 0) state_->order.use(reinterpret_cast<std::uint64_t>(r.begin), r.bytes, slot, kind, verb);
  }

  const std::shared_ptr<device_state> state_;
};

// Work on a capturing stream goes into its graph and does not run, so it is left out.
void shared_device::launch(stream_handle handle, std::uint64_t duration_ns, std::span<const range> writes,
                           std::span<const range> reads) {
  const std::lock_guard lock(state_->mutex);
  auto* s = find("launch on", handle);
  if (!s || s->capturing) return;
  const as_this_thread here(*state_);
  state_->now_ns += state_->what.costs.launch_ns;
  const std::size_t launches_max = state_->what.launches_max;
  if (launches_max > 0) state_->now_ns = s->room_at(state_->now_ns, launches_max);
  const std::uint64_t complete_at_ns = state_->streams.put(*s, state_->now_ns, duration_ns);
  if (launches_max > 0) s->launched.push_back(complete_at_ns);
  for (const range& r : reads) use(r, s->slot, order_checker::access::read);
  for (const range& r : writes) use(r, s->slot, order_checker::access::write);
}

void shared_device::order(stream_handle earlier, stream_handle later) {
  const std::lock_guard lock(state_->mutex);
  auto* first = find("order after", earlier);
  auto* second = find("order of", later);
  if (!first || !second) return;
  const as_this_thread here(*state_);
  const std::uint64_t complete_at_ns = state_->streams.put(*first, state_->now_ns, 0);
  state_->streams.put(*second, state_->now_ns, 0);
  state_->streams.hold_until(*second, complete_at_ns);
  state_->order.follow(second->slot, first->slot);
}

void shared_device::synchronize(stream_handle handle) {
  const std::lock_guard lock(state_->mutex);
  auto* s = find("synchronise with", handle);
  if (!s) return;
  state_->now_ns = std::max(state_->now_ns, s->ready_at_ns);
  state_->see(s->slot, state_->order.clock(s->slot));
  const as_this_thread here(*state_);
  state_->what.threads_apart ? state_->order.observe_privately(s->slot) : state_->order.observe(s->slot);
}

void shared_device::synchronize() {
  const std::lock_guard lock(state_->mutex);
  state_->now_ns = std::max(state_->now_ns, state_->streams.all_complete_at());
  for (stream_slot slot = 0; slot < state_->order.slots(); ++slot) state_->see(slot, state_->order.clock(slot));
  const as_this_thread here(*state_);
  state_->what.threads_apart ? state_->order.observe_all_privately() : state_->order.observe_all();
}

}  // namespace

std::shared_ptr<device> device::make(options what) { return std::make_shared<shared_device>(std::move(what)); }

}  // namespace weir::sim
