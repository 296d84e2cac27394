// SPDX-License-Identifier: Apache-2.0
#include "block_verifier.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "busy_kernel_cuda.hpp"
#include "replay_device.hpp"
#include "verify_kernel_cuda.hpp"

namespace weir::cli {
namespace {

constexpr std::size_t piece_bytes = verify_piece_units * 16;

result<void> answer(int native_code, const char* what) noexcept {
  if (native_code == 0) return {};
  return error{.code = errc::cuda, .native_code = native_code, .what = what};
}

// Neighbouring ids get patterns that have nothing in common (splitmix64).
std::uint64_t seed_of(std::uint64_t id) noexcept {
  std::uint64_t z = id + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::uint64_t bytes_compared(const verify_work& work) noexcept {
  return std::min<std::uint64_t>(work.bytes, work.pieces * piece_bytes);
}

// A kernel's time on an H200: its start, and 4 TB/s.
std::uint64_t modelled_ns(std::uint64_t bytes) noexcept { return 2'000 + bytes / 4'000; }

std::string in_words(const verify_difference& d) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "block %llu, offset %llu: 0x%08x expected, 0x%08x found, by stream %u",
                d.block, d.offset, d.expected, d.found, d.stream);
  return text.data();
}

}  // namespace

result<std::unique_ptr<block_verifier>> block_verifier::make(const replay_device& device, std::size_t bytes_max) {
  std::unique_ptr<block_verifier> verifier(new block_verifier);
  verifier->sim_ = device.simulated();
  verifier->ordinal_ = device.ordinal();
  verifier->bytes_max_ = bytes_max;
  if (verifier->sim_) {
    verifier->violations_seen_ = verifier->sim_->violations().size();
    return verifier;
  }
  if (!has_cuda_busy_kernel())
    return error{.code = errc::not_supported,
                 .what = "kernels on a CUDA device: this weir was built without nvcc, the CUDA compiler"};
  if (auto done = answer(make_cuda_counters(verifier->ordinal_, &verifier->counters_), "counters of differences");
      !done)
    return std::move(done).error();
  return verifier;
}

// Where the device is lost there is nothing to give back.
block_verifier::~block_verifier() {
  if (counters_) static_cast<void>(free_cuda_counters(ordinal_, counters_));
}

verify_work block_verifier::work_of(const verified_block& block, unsigned stream) const noexcept {
  verify_work work{.pointer = block.pointer,
                   .bytes = block.bytes,
                   .seed = seed_of(block.id),
                   .pieces = (block.bytes + piece_bytes - 1) / piece_bytes,
                   .stride_units = verify_piece_units,
                   .block = block.id,
                   .stream = stream};
  const std::uint64_t pieces_max = std::max<std::uint64_t>(bytes_max_ / piece_bytes, 2);
  if (bytes_max_ == 0 || work.pieces <= pieces_max) return work;
  // Rounded up, so that the last is at the end or beyond: there it ends with the block.
  const std::uint64_t stride = (work.pieces - 1 + pieces_max - 2) / (pieces_max - 1);
  work.pieces = (work.pieces - 1 + stride - 1) / stride + 1;
  work.stride_units = stride * verify_piece_units;
  return work;
}

result<void> block_verifier::fill(const verified_block& block, stream_handle handle, unsigned stream) noexcept {
  if (!block.pointer || block.bytes == 0) return {};
  const verify_work work = work_of(block, stream);
  if (!sim_) return answer(launch_cuda_fill(ordinal_, handle, work), "launching a fill");
  const sim::range all{block.pointer, block.bytes};
  sim_->launch(handle, modelled_ns(bytes_compared(work)), {&all, 1});
  return {};
}

result<void> block_verifier::check(const verified_block& block, stream_handle handle, unsigned stream) noexcept {
  if (!block.pointer || block.bytes == 0) return {};
  const verify_work work = work_of(block, stream);
  bytes_checked_.fetch_add(bytes_compared(work), std::memory_order_relaxed);
  if (!sim_) return answer(launch_cuda_check(ordinal_, handle, work, counters_), "launching a check");
  const sim::range all{block.pointer, block.bytes};
  sim_->launch(handle, modelled_ns(bytes_compared(work)), {}, {&all, 1});
  return {};
}

result<void> block_verifier::spoil(const verified_block& block) noexcept {
  if (!block.pointer || block.bytes == 0) return {};
  std::byte* const last = static_cast<std::byte*>(block.pointer) + block.bytes - 1;
  if (!sim_) return answer(spoil_cuda_byte(ordinal_, last), "spoiling a byte");
  if (!stray_) stray_ = sim_->create_stream();
  sim_->launch(stray_, 1'000, {{last, 1}});
  return {};
}

// The device keeps the first thousand.
void block_verifier::take_violations(verify_findings& findings) {
  const auto violations = sim_->violations();
  findings.differences = violations.size() - violations_seen_;
  for (std::size_t i = violations_seen_; i < violations.size() && findings.first.size() < verify_described_max; ++i)
    findings.first.push_back(violations[i].text);
  violations_seen_ = violations.size();
}

result<verify_findings> block_verifier::take() {
  verify_findings findings{.bytes = bytes_checked_.exchange(0)};
  if (sim_) {
    take_violations(findings);
    return findings;
  }
  verify_counters counters;
  if (auto done = answer(take_cuda_counters(ordinal_, counters_, &counters), "reading what was compared"); !done)
    return std::move(done).error();
  findings.differences = counters.differences;
  const auto described = std::min<unsigned long long>(counters.described, verify_described_max);
  for (unsigned long long i = 0; i < described; ++i) findings.first.push_back(in_words(counters.first[i]));
  return findings;
}

}  // namespace weir::cli
