// SPDX-License-Identifier: Apache-2.0
//
// What every backend must do, as one set of test cases (backend_contract.cpp) that an executable runs on the device
// of its choice: it links weir_backend_contract and defines make_backend_fixture().
#pragma once

#include <cstddef>
#include <memory>

#include "weir/backend.hpp"

namespace weir::test {

// A device to try a backend on. What it returns is of one device; a fixture lives for one test case.
class backend_fixture {
 public:
  virtual ~backend_fixture() = default;

  // A fresh backend with a native pool of its own.
  virtual std::unique_ptr<backend> make_backend(std::size_t pool_bytes_max = 0) = 0;

  // A non-blocking stream, and its end. Destroying one does not wait for its work.
  virtual stream_handle create_stream() = 0;
  virtual void destroy_stream(stream_handle) = 0;

  // Puts a kernel of about `microseconds` on the stream and returns without waiting for it. Whatever the first launch
  // of a process costs (lazy loading synchronises) has been paid before.
  virtual void busy(stream_handle, unsigned microseconds) = 0;

  // Begins a capture of the stream, and ends it, throwing the graph away.
  virtual void begin_capture(stream_handle) = 0;
  virtual void end_capture(stream_handle) = 0;
};

// Defined by the executable. May SKIP or FAIL where there is no device.
std::unique_ptr<backend_fixture> make_backend_fixture();

}  // namespace weir::test
