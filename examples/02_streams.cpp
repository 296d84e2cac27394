// SPDX-License-Identifier: Apache-2.0
//
// Two streams and one block: the first writes it, the second reads it and frees it. The free is ordered on the second
// stream, so the program orders the second stream behind the first, by an event, before it frees. Nobody waits on the
// host, and the block may be handed out again on the second stream at once.
//
// Runs on a simulated device, whose checker tells of every access that its last user was not ordered before. The same
// program for a GPU is 02_streams_cuda.cpp.
#include <cstdio>

#include "weir/pool.hpp"
#include "weir/sim.hpp"

namespace {

constexpr std::size_t bytes = std::size_t{1} << 20;

// Writes on one stream, reads and frees on the other, and uses the memory again there.
void hand_over(weir::sim::device& device, weir::pool& pool, bool by_event) {
  const weir::stream_handle writer = device.create_stream();
  const weir::stream_handle reader = device.create_stream();
  const weir::stream write_stream = pool.stream(writer).value();
  const weir::stream read_stream = pool.stream(reader).value();

  void* const block = pool.allocate(bytes, write_stream);
  const weir::sim::range whole{block, bytes};
  device.launch(writer, 50'000, {whole});          // a kernel of 50 µs that writes the block
  if (by_event) device.order(writer, reader);      // cudaEventRecord(e, writer); cudaStreamWaitEvent(reader, e);
  device.launch(reader, 20'000, {}, {&whole, 1});  // a kernel that reads it
  pool.deallocate(block, read_stream);

  void* const next = pool.allocate(bytes, read_stream);  // may be the same memory: what used it comes before
  device.launch(reader, 20'000, {{next, bytes}});
  pool.deallocate(next, read_stream);

  pool.retire(write_stream).value();  // before a stream is destroyed
  pool.retire(read_stream).value();
  device.destroy_stream(writer);
  device.destroy_stream(reader);
}

std::size_t violations_of(bool by_event) {
  const auto device = weir::sim::device::make();
  weir::pool pool = weir::pool::make(device->make_backend());
  hand_over(*device, pool, by_event);
  return device->violations().size();
}

}  // namespace

int main() {
  const std::size_t ordered = violations_of(true);
  const std::size_t unordered = violations_of(false);
  std::printf("ordered by an event: %zu accesses out of order\n", ordered);
  std::printf("without the event: %zu\n", unordered);
  return ordered == 0 && unordered > 0 ? 0 : 1;
}
