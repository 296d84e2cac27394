// SPDX-License-Identifier: Apache-2.0
//
// What the writers of the two forms have in common.
#pragma once

#include <memory>
#include <vector>

#include "trace/byte_sink.hpp"
#include "weir/trace/record.hpp"
#include "weir/trace/writer.hpp"

namespace weir::trace {

class record_sink {
 public:
  virtual ~record_sink() = default;
  // Precondition: !unfit_for_trace(r).
  virtual result<void, file_error> write(const record& r) = 0;
  virtual result<void, file_error> flush() = 0;
  virtual result<void, file_error> finish() = 0;
  virtual std::vector<loss> losses() const { return {}; }
};

// Facts before the first other record are those of the header. Nothing reaches the bytes before the first flush or a
// full buffer.
std::unique_ptr<record_sink> make_binary_sink(std::unique_ptr<byte_sink>, const writer_options&);
std::unique_ptr<record_sink> make_text_sink(std::unique_ptr<byte_sink>);

}  // namespace weir::trace
