// SPDX-License-Identifier: Apache-2.0
//
// What a host does not say when it frees: the stream a block was allocated on, as it was identified then. By address,
// in 64 open tables with a lock each, so that threads seldom meet; an entry costs no host allocation of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "weir/stream.hpp"

namespace weir::python {

struct live_block {
  weir::stream stream{};
  int device = 0;
};

class block_table {
 public:
  // Throws std::bad_alloc, and then has not got it.
  void add(const void* block, live_block);
  // Takes it out; none where it is unknown.
  std::optional<live_block> remove(const void* block) noexcept;
  // The device of a block; none where it is unknown.
  std::optional<int> device_of(const void* block) noexcept;
  std::size_t count() noexcept;

 private:
  struct entry {
    const void* block = nullptr;  // null: free
    live_block what{};
  };
  struct shard {
    std::mutex mutex;
    std::vector<entry> entries;  // a power of two, three quarters full at most
    std::size_t used = 0;

    entry* find(const void* block) noexcept;
    void grow();
    void erase(std::size_t at) noexcept;
    std::size_t home_of(const void* block) const noexcept;
  };
  static constexpr std::size_t shard_count = 64;

  shard& shard_of(const void* block) noexcept;

  std::array<shard, shard_count> shards_;
};

}  // namespace weir::python
