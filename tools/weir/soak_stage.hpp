// SPDX-License-Identifier: Apache-2.0
//
// What all threads of a soak share: the pool, its streams, the verifier, blocks on their way from one thread to
// another, how much is to be live, what was counted and what was found.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "block_verifier.hpp"
#include "replay_device.hpp"
#include "soak.hpp"
#include "soak_neighbour.hpp"
#include "soak_streams.hpp"
#include "weir/pool.hpp"

namespace weir::cli {

struct soak_counts {
  std::atomic<std::uint64_t> allocations{0}, frees{0}, checks{0}, uses{0}, hand_overs{0}, handler_calls{0},
      out_of_memory{0}, out_of_memory_looked_into{0}, trims{0}, defragments{0}, limits{0}, streams_retired{0},
      threads_started{0}, neighbour_moves{0}, validations{0};
};

struct soak_block {
  void* pointer = nullptr;
  std::size_t bytes = 0;
  std::uint64_t id = 0;  // of its last fill
  bool is_direct = false;
  bool is_used = false;                  // on a second stream that nobody has waited for: not to be filled again
  std::shared_ptr<soak_stream> last{};   // where it was filled or checked last, and
  std::shared_ptr<soak_event> behind{};  // recorded there since then, or null
};

// Whoever works is in it; whoever stops it is alone. A stop does not starve: nobody enters once it was asked for.
class soak_world {
 public:
  void enter();
  void leave() { mutex_.unlock_shared(); }
  void stop();
  void resume();

 private:
  std::atomic<int> stops_{0};
  std::shared_mutex mutex_;
};

class soak_worker;

class soak_stage {
 public:
  // Throws bad_input of options that will not do.
  soak_stage(const soak_options&, const replay_device&, pool_options);

  const soak_options options;
  const replay_device& device;
  soak_counts counts;
  std::unique_ptr<block_verifier> verifier;
  std::optional<weir::pool> pool;
  std::optional<soak_streams> streams;
  std::optional<soak_neighbour> neighbour;
  std::size_t chunk_bytes = 0;

  std::atomic<bool> is_over{false};
  std::atomic<std::uint64_t> next_id{1};
  std::atomic<std::uint64_t> live_bytes{0};
  std::atomic<std::uint64_t> target_bytes{0};     // what the tide is now
  std::atomic<std::uint64_t> bytes_used_peak{0};  // of the device, whoever uses them

  soak_world world;

  // Blocks that wait for another thread.
  void leave(soak_block);
  std::optional<soak_block> take_left(random_source&);

  // Something that should not be. The first of them are kept in words.
  void find(const std::string&);
  // Of an error where none is expected; the soak ends then.
  void fail(const char* doing, const error&);
  std::uint64_t finding_count() const;
  std::vector<std::string> findings() const;

  // Reads what was compared so far. Precondition: nobody works.
  void collect();
  std::uint64_t bytes_verified() const noexcept { return bytes_verified_; }
  std::uint64_t differences() const noexcept { return differences_; }

 private:
  bool relieve(unsigned attempt);

  std::mutex mutex_;  // guards what waits
  std::vector<soak_block> left_;
  mutable std::mutex findings_mutex_;  // guards what was found
  std::vector<std::string> findings_;
  std::uint64_t finding_count_ = 0;
  std::uint64_t bytes_verified_ = 0;
  std::uint64_t differences_ = 0;
};

}  // namespace weir::cli
