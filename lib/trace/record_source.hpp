// SPDX-License-Identifier: Apache-2.0
//
// What the readers of the two forms have in common.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "trace/input.hpp"
#include "weir/trace/file_error.hpp"
#include "weir/trace/record.hpp"

namespace weir::trace {

class record_source {
 public:
  virtual ~record_source() = default;
  // As reader::next(), except that nothing is said about calls after the first error or end.
  virtual result<bool, file_error> next(record&) = 0;
  // An error at the record last given.
  virtual file_error refuse(file_error_kind, std::string reason) const = 0;
  virtual std::uint64_t skipped() const = 0;
  virtual const input& bytes() const = 0;
};

std::unique_ptr<record_source> make_binary_source(input);
std::unique_ptr<record_source> make_text_source(input);

}  // namespace weir::trace
