// SPDX-License-Identifier: Apache-2.0
//
// An error an earlier kernel caused surfaces as what it is. Alone in its process: the context is lost afterwards.
#include <utility>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "weir/pool.hpp"

namespace weir::test {
namespace {

template <class T>
void check_lost(const char* what, const result<T>& answer) {
  CAPTURE(what);
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::device_lost);
  CHECK(answer.error().native_code == cudaErrorIllegalAddress);
}

TEST_CASE("device lost: a kernel's illegal access surfaces as that, frees are taken, and destruction survives it") {
  require_device();
  auto target = value_of(make_cuda_backend(0));
  weir::pool pool = value_of(pool::try_make(0));
  gpu_stream stream;
  backend_event* event = value_of(target->create_event());
  void* block = value_of(target->allocate(MiB, stream));
  void* small = value_of(pool.try_allocate(4096, raw_stream(stream)));
  REQUIRE(small != nullptr);
  // Of every size one live and one cached or kept, and one more on another stream.
  gpu_stream other;
  const weir::stream token = value_of(pool.stream(raw_stream(stream)));
  const weir::stream other_token = value_of(pool.stream(raw_stream(other)));
  constexpr std::size_t sizes[]{4096, 3 * MiB, 64 * MiB};
  std::vector<std::pair<void*, std::size_t>> live;
  for (const std::size_t bytes : sizes) {
    live.emplace_back(value_of(pool.try_allocate(bytes, token)), bytes);
    live.emplace_back(value_of(pool.try_allocate(bytes, other_token)), bytes);
    value_of(pool.try_deallocate(value_of(pool.try_allocate(bytes, token)), token));
  }
  void* direct = value_of(pool.try_allocate_direct(MiB));
  value_of(target->record(event, stream));
  value_of(target->synchronize(event));

  write_to_nowhere(stream);
  check_lost("synchronize_device", target->synchronize_device());

  check_lost("allocate", target->allocate(64 * MiB, stream));
  check_lost("deallocate", target->deallocate(block, stream));
  check_lost("record", target->record(event, stream));
  check_lost("is_idle", target->is_idle(stream));
  check_lost("create_event", target->create_event());
  check_lost("allocate_direct", target->allocate_direct(MiB));
  // More than the pool has at hand, so that it needs the device.
  check_lost("pool.try_allocate", pool.try_allocate(GiB, raw_stream(stream)));
  // The driver trims a pool of a lost context and says nothing of it (580).
  if (const auto trimmed = pool.trim(0); !trimmed) check_lost("pool.trim", trimmed);
  // Frees on the other stream, so that none is as simple as it could be.
  for (std::size_t i = 0; i < live.size(); ++i)
    CHECK(code_of(pool.try_deallocate(live[i].first, live[i].second, i % 2 ? token : other_token)) == errc::ok);
  CHECK(code_of(pool.try_deallocate(small, 4096, token)) == errc::ok);
  check_lost("pool.try_deallocate_direct", pool.try_deallocate_direct(direct));  // it stays the pool's
  (void)pool.retire(token).has_value();
  CHECK(pool.validate().empty());
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  target->destroy_event(event);
}

}  // namespace
}  // namespace weir::test
