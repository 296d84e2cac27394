// SPDX-License-Identifier: Apache-2.0
//
// An observer that writes what pools do as a trace, for `weir replay`.
//
//     auto recorder = std::make_shared<weir::trace::recorder>();
//     auto pool = weir::pool::make(0, {.observer = recorder});
//     if (auto begun = recorder->begin("run.weir"); !begun) return fail(begun.error().message());
//     ...
//     recorder->end();
//
// One may serve several pools. Blocks that were live when it began are not in the trace, nor are their frees. Writing
// packs a chunk now and then, in the call that filled it; what was written is in the file after a second at most.
#pragma once

#include <memory>
#include <string>

#include "weir/observer.hpp"
#include "weir/trace/writer.hpp"

namespace weir::trace {

class WEIR_EXPORT recorder final : public observer {
 public:
  recorder();
  ~recorder() override;  // ends the trace, if one is being written

  // Makes or empties the file; file_error_kind::io too where one is being written already.
  result<void, file_error> begin(const std::string& path, const writer_options& = {.compression = 1});
  // The first thing that went wrong since begin(), after which nothing was written any more. Without one: the trace is
  // whole. In a child after fork it forgets the file, which is the parent's.
  result<void, file_error> end() noexcept;
  bool is_recording() const noexcept;

  void on_allocate(const allocation_event&) noexcept override;
  void on_deallocate(const allocation_event&) noexcept override;
  void on_use(const use_event&) noexcept override;
  void on_failure(const error&) noexcept override;
  void on_native(const native_event&) noexcept override;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace weir::trace
