// SPDX-License-Identifier: Apache-2.0
#include "soak_stage.hpp"

#include <chrono>
#include <thread>
#include <utility>

#include "exit_code.hpp"
#include "soak_worker.hpp"

namespace weir::cli {
namespace {

constexpr std::size_t findings_max = 20;

template <class Value>
Value must(result<Value> answer) {
  if (!answer) throw bad_input(answer.error().message());
  if constexpr (!std::is_void_v<Value>) return std::move(*answer);
}

}  // namespace

void soak_world::enter() {
  while (stops_ > 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  mutex_.lock_shared();
}

void soak_world::stop() {
  ++stops_;
  mutex_.lock();
}

void soak_world::resume() {
  --stops_;
  mutex_.unlock();
}

soak_stage::soak_stage(const soak_options& what, const replay_device& where, pool_options of_pool)
    : options(what), device(where), verifier(must(block_verifier::make(where))) {
  neighbour.emplace(device);  // before a context of ours can be in its way
  of_pool.on_out_of_memory = [this](std::size_t, unsigned attempt, const memory_report&) { return relieve(attempt); };
  if (options.bytes_max) of_pool.bytes_max = options.bytes_max;
  pool = must(weir::pool::try_make(must(device.make_backend()), std::move(of_pool)));
  chunk_bytes = pool->backend().capabilities().chunk_bytes;
  streams.emplace(*pool, options.streams);
  must(streams->open());
}

bool soak_stage::relieve(unsigned attempt) {
  ++counts.handler_calls;
  soak_worker* const worker = soak_worker::of_this_thread();
  return worker && attempt <= 4 && worker->relieve();
}

void soak_stage::leave(soak_block block) {
  const std::lock_guard lock(mutex_);
  left_.push_back(std::move(block));
}

std::optional<soak_block> soak_stage::take_left(random_source& random) {
  const std::lock_guard lock(mutex_);
  if (left_.empty()) return std::nullopt;
  std::swap(left_[random.below(left_.size())], left_.back());
  soak_block block = std::move(left_.back());
  left_.pop_back();
  return block;
}

void soak_stage::find(const std::string& what) {
  const std::lock_guard lock(findings_mutex_);
  ++finding_count_;
  if (findings_.size() < findings_max) findings_.push_back(what);
}

void soak_stage::fail(const char* doing, const error& why) {
  find(std::string(doing) + ": " + why.message());
  is_over = true;
}

std::uint64_t soak_stage::finding_count() const {
  const std::lock_guard lock(findings_mutex_);
  return finding_count_;
}

std::vector<std::string> soak_stage::findings() const {
  const std::lock_guard lock(findings_mutex_);
  return findings_;
}

void soak_stage::collect() {
  if (auto done = pool->backend().synchronize_device(); !done) return fail("waiting for the device", done.error());
  const auto found = verifier->take();
  if (!found) return fail("reading what was compared", found.error());
  bytes_verified_ += found->bytes;
  differences_ += found->differences;
  for (const std::string& words : found->first) find("a block is not what it was filled with: " + words);
}

}  // namespace weir::cli
