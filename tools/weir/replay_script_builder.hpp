// SPDX-License-Identifier: Apache-2.0
//
// Makes a replay_script of a trace's records, in their order, each with what the validator said of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "replay_script.hpp"
#include "weir/trace/reader.hpp"
#include "weir/trace/validator.hpp"

namespace weir::cli {

class replay_script_builder {
 public:
  using refusal = std::optional<std::string>;

  // A stream is an object of the driver: a program has tens, a broken file thousands.
  static constexpr std::size_t stream_count_max = 4096;
  // Each is a thread of the operating system where threads are replayed.
  static constexpr std::size_t thread_count_max = 1024;
  // 4 GiB of operations.
  static constexpr std::size_t op_count_max = std::size_t{1} << 28;

  explicit replay_script_builder(std::string name) { script_.name = std::move(name); }

  // What is wrong with the record, or nothing.
  refusal add(const trace::record&, const trace::observation& seen);

  // The reader that the records came from knows what the recording says of itself.
  replay_script finish(const trace::reader&) &&;

 private:
  // The block in a slot: the operation that would free it on the stream it was allocated on.
  struct block {
    replay_op release;
    std::uint64_t born = 0;
    bool is_live = false;
    bool is_skipped = false;
  };

  refusal number_stream(std::uint32_t stream, std::uint16_t& number);
  void push(const replay_op&);
  refusal allocate(const trace::record&, const trace::observation& seen);
  refusal refer(replay_kind, const trace::record&, const trace::observation& seen);
  refusal wait(const trace::record&);

  replay_script script_;
  std::uint64_t first_ns_ = 0;
  std::uint64_t live_bytes_ = 0;
  std::vector<block> blocks_;
  std::unordered_map<std::uint32_t, std::uint16_t> streams_;
  std::uint32_t thread_ = 0;       // of the record
  std::uint32_t turn_thread_ = 0;  // of the last operation
  std::unordered_map<std::uint32_t, std::uint32_t> threads_;
  std::unordered_map<std::uint64_t, std::uint32_t> event_streams_;
};

}  // namespace weir::cli
