// SPDX-License-Identifier: Apache-2.0
#include "weir/trace/record.hpp"

namespace weir::trace {

const char* to_string(record_kind kind) noexcept {
  switch (kind) {
    case record_kind::fact: return "fact";
    case record_kind::site: return "site";
    case record_kind::stream_birth: return "stream_birth";
    case record_kind::stream_retirement: return "stream_retirement";
    case record_kind::live: return "live";
    case record_kind::allocate: return "allocate";
    case record_kind::deallocate: return "deallocate";
    case record_kind::reusable: return "reusable";
    case record_kind::use: return "use";
    case record_kind::event: return "event";
    case record_kind::wait: return "wait";
    case record_kind::synchronize: return "synchronize";
    case record_kind::mark: return "mark";
    case record_kind::failure: return "failure";
    case record_kind::native_allocate: return "native_allocate";
    case record_kind::native_deallocate: return "native_deallocate";
    case record_kind::lost: return "lost";
    case record_kind::comment: return "comment";
  }
  return "unknown";
}

const char* to_string(memory_kind kind) noexcept {
  switch (kind) {
    case memory_kind::pool: return "pool";
    case memory_kind::direct: return "direct";
    case memory_kind::native: return "native";
    case memory_kind::managed: return "managed";
    case memory_kind::host: return "host";
    case memory_kind::other: return "other";
  }
  return "other";
}

}  // namespace weir::trace
