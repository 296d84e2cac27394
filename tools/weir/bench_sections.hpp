// SPDX-License-Identifier: Apache-2.0
//
// The measurements of a bench, a file a section. Each makes its allocators afresh, adds its rows to the figures, and
// throws bench_failure, or what the library throws, where it cannot go on; rows added before stay.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "bench_figures.hpp"
#include "bench_stage.hpp"

namespace weir::cli {

struct bench_request {
  bench_stage& stage;
  std::vector<unsigned> threads;  // how many at once, one measurement each
  bench_figures& figures;
};

// One block at a time: allocated and freed on one stream.
void bench_pair(const bench_request&, const std::string& allocator);
// 100 blocks allocated, then freed, the last first, the first first, or at random.
void bench_batch(const bench_request&, const std::string& allocator);
// 64 live blocks a thread, of 256 B to 64 KiB: each step frees one of them at random and allocates another. Each thread
// on its own stream, then all on one.
void bench_threads(const bench_request&, const std::string& allocator);
// Allocated on one stream, freed on another that waits for the first, always in that direction, without and with a
// kernel on the second; and the symmetric ping-pong.
void bench_hand_over(const bench_request&, const std::string& allocator);
// Four streams of long kernels that allocate as they go.
void bench_makespan(const bench_request&, const std::string& allocator);
// From nothing to many blocks, and back.
void bench_growth(const bench_request&, const std::string& allocator);

struct bench_section {
  const char* name;
  void (*run)(const bench_request&, const std::string& allocator);
};
inline constexpr std::array bench_sections{
    bench_section{"pair", bench_pair},         bench_section{"batch", bench_batch},
    bench_section{"threads", bench_threads},   bench_section{"hand_over", bench_hand_over},
    bench_section{"makespan", bench_makespan}, bench_section{"growth", bench_growth}};

// A pair of calls of the floor, in a loop as bench_pair's.
double measure_bench_floor(const bench_stage&);

}  // namespace weir::cli
