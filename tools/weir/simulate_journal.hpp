// SPDX-License-Identifier: Apache-2.0
//
// What a run did, for who reads about a failure: lines, and records of a trace. Off in most runs, and then nothing is
// made of what it is told; a run that failed is done again with it on, which the seed makes the same run.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "weir/trace/record.hpp"

namespace weir::simulation {

class journal {
 public:
  struct entry {
    trace::record record;
    std::string text;  // of the record
  };

  bool is_on = false;
  std::uint64_t now_ns = 0;  // of what is told next
  unsigned thread = 0;

  // Precondition of all: is_on. The same line again is counted.
  void say(std::string line);
  void allocate(std::uintptr_t at, std::size_t bytes, std::size_t alignment, unsigned stream, bool is_direct);
  void deallocate(std::uintptr_t at, unsigned stream);
  void use(std::uintptr_t at, unsigned stream);
  void order(unsigned earlier, unsigned later);
  void synchronize(trace::sync_scope, unsigned stream);
  void birth(unsigned stream, std::string name);
  void retirement(unsigned stream);
  void failed(std::size_t bytes, std::size_t alignment, unsigned stream, std::string why);
  // What a trace has no words for.
  void mark(std::string what);

  const std::vector<std::string>& lines() const noexcept { return lines_; }
  const std::vector<entry>& entries() const noexcept { return entries_; }

 private:
  void add(trace::record, std::string text = {});

  std::vector<std::string> lines_;
  unsigned repeated_ = 0;
  std::vector<entry> entries_;
  std::unordered_map<std::uintptr_t, std::uint64_t> ids_;
  std::uint64_t next_id_ = 0;
  std::uint64_t next_event_ = 0;
};

}  // namespace weir::simulation
