// SPDX-License-Identifier: Apache-2.0
//
// The backend's contract on a simulated device.
#include <catch2/catch_test_macros.hpp>

#include "support/backend_contract.hpp"
#include "weir/sim.hpp"

namespace weir::test {
namespace {

class sim_fixture final : public backend_fixture {
 public:
  // The contract's cases are right programs, so the checker must have nothing to say of them.
  ~sim_fixture() override { CHECK(device_->violations().empty()); }

  std::unique_ptr<backend> make_backend(std::size_t pool_bytes_max) override {
    return device_->make_backend(pool_bytes_max);
  }
  stream_handle create_stream() override { return device_->create_stream(); }
  void destroy_stream(stream_handle stream) override { device_->destroy_stream(stream); }
  void busy(stream_handle stream, unsigned microseconds) override {
    device_->launch(stream, std::uint64_t{1000} * microseconds, {});
  }
  void begin_capture(stream_handle stream) override { device_->set_capturing(stream, true); }
  void end_capture(stream_handle stream) override { device_->set_capturing(stream, false); }

 private:
  std::shared_ptr<sim::device> device_ = sim::device::make();
};

}  // namespace

std::unique_ptr<backend_fixture> make_backend_fixture() { return std::make_unique<sim_fixture>(); }

}  // namespace weir::test
