// SPDX-License-Identifier: Apache-2.0
#include "bench_stage.hpp"

#include <algorithm>
#include <cmath>

namespace weir::cli {

void fail_bench(const error& why) { throw bench_failure(why.message()); }

bench_stage::bench_stage(const replay_device& device, const replay_clock& clock, weir::pool_options options,
                         bool is_quick)
    : device_(device),
      clock_(clock),
      pool_options_(std::move(options)),
      is_quick_(is_quick),
      user_(must_have(device.make_backend())) {
  order_event_ = must_have(user_->create_event());
  // Without one there are no sections with kernels, but the others.
  if (auto kernel = busy_kernel::make(device)) kernel_ = std::move(*kernel);
}

bench_stage::~bench_stage() {
  // Where the device is lost there is nothing left to wait for or to tidy.
  static_cast<void>(user_->synchronize_device());
  if (order_event_) user_->destroy_event(order_event_);
  for (stream_handle stream : streams_) static_cast<void>(user_->destroy_stream(stream));
}

std::chrono::nanoseconds bench_stage::budget(double seconds) const noexcept {
  const double share = is_quick_ ? 0.02 : 1;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * share * 1e9));
}

void bench_stage::make_streams(std::size_t count) {
  while (streams_.size() < count) streams_.push_back(must_have(user_->create_stream()));
}

void bench_stage::order(std::size_t earlier, std::size_t later) const {
  must_have(user_->record(order_event_, streams_[earlier]));
  must_have(user_->wait(streams_[later], order_event_));
}

void bench_stage::record(backend_event* event, std::size_t stream) const {
  must_have(user_->record(event, streams_[stream]));
}

void bench_stage::wait_for(backend_event* event) const { must_have(user_->synchronize(event)); }

void bench_stage::synchronize() const { must_have(user_->synchronize_device()); }

void bench_stage::launch(std::size_t stream, std::uint64_t duration_ns) const {
  if (!kernel_) throw bench_failure("no kernels: this weir was built without nvcc, the CUDA compiler");
  must_have(kernel_->launch(streams_[stream], duration_ns));
}

double bench_stage::device_ms() const {
  if (const auto& sim = device_.simulated()) return static_cast<double>(sim->now_ns()) / 1e6;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

double percentile_of(std::vector<double>& samples, double share) {
  if (samples.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(samples.size())));
  const auto at = samples.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

}  // namespace weir::cli
