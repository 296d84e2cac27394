// SPDX-License-Identifier: Apache-2.0
//
// The input is the text of a pool's options, as WEIR_OPTIONS has it. What is taken is written and read again as the
// same, and a pool is made of it or refuses it.
#include "fuzz/fuzz_input.hpp"
#include "weir/options_text.hpp"
#include "weir/pool.hpp"
#include "weir/sim.hpp"

namespace weir::fuzz {

namespace {

// retain asks for nothing, so it may be left out.
std::vector<trim_policy> asking(std::vector<trim_policy> all) {
  std::erase(all, retain());
  return all;
}

void check_again(const pool_options& options) {
  const std::string text = to_text(options);
  const auto again = parse_pool_options(text);
  require(again.has_value(), "what was written is refused");
  require(to_text(*again) == text, "what was written is read as something else");
  require(asking(again->trim) == asking(options.trim) && again->bytes_max == options.bytes_max &&
              again->soft_bytes_max == options.soft_bytes_max && again->background == options.background &&
              again->region_bytes == options.region_bytes && again->slack == options.slack &&
              again->big_cache_share == options.big_cache_share && again->handle_types == options.handle_types,
          "what was written is read as other options");
}

void check_pool(pool_options options) {
  static const auto device = sim::device::make({.bytes_total = std::size_t{1} << 30});
  static const stream_handle stream = device->create_stream();
  options.background = {};
  auto made = pool::try_make(device->make_backend(), options);
  if (!made) return require(made.error().code == errc::invalid_argument, "options are refused for another reason");
  const auto block = made->try_allocate(4096, raw_stream(stream));
  require(block.has_value(), "a pool that was made serves nothing");
  require(made->try_deallocate(*block, raw_stream(stream)).has_value(), "and takes nothing back");
}

}  // namespace

}  // namespace weir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace weir::fuzz;
  fuzz_input in(data, bytes);
  const auto options = weir::parse_pool_options(in.rest());
  if (!options) {
    require(options.error().code == weir::errc::invalid_argument, "an error that is none of options");
    require(!options.error().message().empty(), "an error without a message");
    return 0;
  }
  check_again(*options);
  check_pool(*options);
  return 0;
}
