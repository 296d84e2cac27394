// SPDX-License-Identifier: Apache-2.0
//
// The allocators as ONNX Runtime calls them. Compiled with its own header where that is found, else with a stand-in,
// and with that for several versions of the structure. OrtApi is the test's own in both cases: the few functions
// called.
#include "weir/adapters/onnxruntime.hpp"

#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "unit/pool/scene.hpp"

#define ORT_CASE(fact) TEST_CASE("onnxruntime, " WEIR_TEST_ORT ": " fact)

namespace weir::test {
namespace {

// What the runtime's opaque types are here.
using pairs = std::map<std::string, std::string>;
int infos = 0, statuses = 0;
bool refuses_info = false;

OrtApi test_api() {
  OrtApi api{};
  api.CreateMemoryInfo = [](const char* name, OrtAllocatorType type, int device, OrtMemType,
                            OrtMemoryInfo** out) noexcept -> OrtStatus* {
    if (refuses_info) return reinterpret_cast<OrtStatus*>(new (std::nothrow) int(++statuses));
    CHECK(std::string(name) == "Cuda");
    CHECK(type == OrtDeviceAllocator);
    *out = reinterpret_cast<OrtMemoryInfo*>(new (std::nothrow) int(device));
    ++infos;
    return nullptr;
  };
  api.ReleaseMemoryInfo = [](OrtMemoryInfo* info) {
    delete reinterpret_cast<int*>(info);
    --infos;
  };
  api.CreateStatus = [](OrtErrorCode, const char*) noexcept {
    return reinterpret_cast<OrtStatus*>(new (std::nothrow) int(++statuses));
  };
  api.ReleaseStatus = [](OrtStatus* status) {
    delete reinterpret_cast<int*>(status);
    --statuses;
  };
#if ORT_API_VERSION >= 23
  api.CreateKeyValuePairs = [](OrtKeyValuePairs** out) {
    *out = reinterpret_cast<OrtKeyValuePairs*>(new (std::nothrow) pairs);
  };
  api.AddKeyValuePair = [](OrtKeyValuePairs* all, const char* key, const char* value) {
    (*reinterpret_cast<pairs*>(all))[key] = value;
  };
  // The stand-in's streams are their handles.
  api.SyncStream_GetHandle = [](OrtSyncStream* stream) noexcept { return reinterpret_cast<void*>(stream); };
#endif
  return api;
}

const OrtApi api = test_api();

struct ort_scene {
  explicit ort_scene(pool_options options = {}, bool with_stream = true)
      : device(sim::device::make()),
        pool(std::make_shared<weir::pool>(
            weir::pool::make(device->make_backend(), adapters::for_host(std::move(options))))),
        stream(device->create_stream()),
        allocator(pool, &api, 0, with_stream ? std::optional<raw_stream>(stream) : std::nullopt,
                  [this](const error& e) { told.push_back(e.code); }) {}
  ~ort_scene() {
    CHECK(device->violations().empty());
    CHECK(pool->validate().empty());
  }
  void* alloc(std::size_t bytes) { return host->Alloc(host, bytes); }
  void free(void* block) { host->Free(host, block); }
  std::size_t live() const { return pool->statistics().live_count; }

  std::shared_ptr<sim::device> device;
  std::shared_ptr<weir::pool> pool;
  stream_handle stream;
  std::vector<errc> told;
  onnxruntime::allocator allocator;
  OrtAllocator* host = &allocator;
};

ORT_CASE("the structure says its version, and has a function for all that the version has") {
  ort_scene s;
  CHECK(s.host->version == ORT_API_VERSION);
  CHECK(s.host->Alloc != nullptr);
  CHECK(s.host->Free != nullptr);
  REQUIRE(s.host->Info != nullptr);
  CHECK(*reinterpret_cast<const int*>(s.host->Info(s.host)) == 0);
#if ORT_API_VERSION >= 18
  CHECK(s.host->Reserve != nullptr);
#endif
#if ORT_API_VERSION >= 23
  CHECK(s.host->GetStats != nullptr);
  CHECK(s.host->AllocOnStream != nullptr);
#endif
#if ORT_API_VERSION >= 25
  CHECK(s.host->Shrink != nullptr);
#endif
}

ORT_CASE("the memory's description is released with the allocator, and its refusal is an exception") {
  { ort_scene s; }
  CHECK(infos == 0);
  auto device = sim::device::make();
  auto pool = std::make_shared<weir::pool>(weir::pool::make(device->make_backend()));
  refuses_info = true;
  CHECK_THROWS_AS(onnxruntime::allocator(pool, &api, 0), weir::logic_error);
  refuses_info = false;
  CHECK(statuses == 0);
  CHECK_THROWS_AS(onnxruntime::allocator(pool, nullptr, 0), weir::logic_error);
  CHECK_THROWS_AS(onnxruntime::allocator(nullptr, &api, 0), weir::logic_error);
}

ORT_CASE("with a stream blocks are in its order, and are its own again at once") {
  ort_scene s;
  void* block = s.alloc(3 * MiB);
  REQUIRE(block != nullptr);
  s.device->launch(s.stream, long_ns, {{block, 3 * MiB}});
  s.free(block);
  CHECK(s.alloc(3 * MiB) == block);
  s.device->launch(s.stream, 1000, {{block, 3 * MiB}});
  s.free(block);
  CHECK(s.live() == 0);
}

ORT_CASE("without a stream memory is for every one, and a free waits for who still uses it") {
  ort_scene s({.bytes_max = 64 * MiB}, false);
  stream_handle other = s.device->create_stream();
  void* block = s.alloc(40 * MiB);
  s.device->launch(s.stream, long_ns, {{block, 40 * MiB}});
  s.free(block);
  void* again = s.alloc(40 * MiB);
  REQUIRE(again != nullptr);
  s.device->launch(other, 1000, {{again, 40 * MiB}});  // the end looks for a violation
  s.free(again);
  CHECK(s.live() == 0);
}

ORT_CASE("zero bytes and null are nothing; no room is null, and the listener is told") {
  ort_scene s({.bytes_max = 64 * MiB});
  CHECK(s.alloc(0) == nullptr);
  s.free(nullptr);
  CHECK(s.told.empty());
  CHECK(s.alloc(GiB) == nullptr);
  CHECK(s.told == std::vector<errc>{errc::out_of_memory});
}

ORT_CASE("a pointer of somebody else's, and one freed twice, are bugs and change nothing") {
  ort_scene s;
  bug_catcher bugs;
  int mine = 0;
  s.free(&mine);
  void* block = s.alloc(4096);
  s.free(offset(block, 64));
  s.free(block);
  s.free(block);
  CHECK(bugs.told() == std::vector<errc>(3, errc::foreign_pointer));
  CHECK(s.live() == 0);
}

ORT_CASE("a free that fails leaves the block where it was, to be freed again") {
  ort_scene s({}, false);
  bug_catcher bugs;
  void* block = s.alloc(4096);
  s.device->inject(sim::fault::synchronize, 1);
  s.free(block);
  CHECK(bugs.told().size() == 1);
  CHECK(s.live() == 1);
  s.free(block);
  CHECK(s.live() == 0);
}

#if ORT_API_VERSION >= 18
ORT_CASE("reserved memory is memory") {
  ort_scene s;
  void* block = s.host->Reserve(s.host, 10 * MiB);
  REQUIRE(block != nullptr);
  CHECK(s.live() == 1);
  s.free(block);
  CHECK(s.live() == 0);
}
#endif

#if ORT_API_VERSION >= 23
ORT_CASE("on a stream that is named, the free goes to that stream") {
  ort_scene s;
  stream_handle other = s.device->create_stream();
  auto* named = reinterpret_cast<OrtSyncStream*>(other);
  void* block = s.host->AllocOnStream(s.host, 3 * MiB, named);
  REQUIRE(block != nullptr);
  s.device->launch(other, long_ns, {{block, 3 * MiB}});
  s.free(block);
  void* mine = s.alloc(3 * MiB);
  s.device->launch(s.stream, 1000, {{mine, 3 * MiB}});
  CHECK(s.host->AllocOnStream(s.host, 3 * MiB, named) == block);
  s.device->launch(other, 1000, {{block, 3 * MiB}});
  s.free(block);
  s.free(mine);
  void* unnamed = s.host->AllocOnStream(s.host, 4096, nullptr);
  CHECK(unnamed != nullptr);
  s.free(unnamed);
  CHECK(s.live() == 0);
}

ORT_CASE("the per-thread stream's blocks are freed by waiting: another thread's is another stream") {
  ort_scene s;
  void* block = s.host->AllocOnStream(s.host, 4096, reinterpret_cast<OrtSyncStream*>(per_thread_stream()));
  REQUIRE(block != nullptr);
  const auto before = s.device->calls().synchronize;
  s.free(block);
  CHECK(s.device->calls().synchronize > before);
  CHECK(s.live() == 0);
}

ORT_CASE("statistics have all the known keys, and an unlimited pool says -1") {
  ort_scene s;
  void* block = s.alloc(3 * MiB);
  s.free(s.host->Reserve(s.host, MiB));
  OrtKeyValuePairs* out = nullptr;
  REQUIRE(s.host->GetStats(s.host, &out) == nullptr);
  const std::unique_ptr<pairs> seen(reinterpret_cast<pairs*>(out));
  CHECK(seen->at("Limit") == "-1");
  CHECK(std::stoull(seen->at("InUse")) >= 3 * MiB);
  CHECK(std::stoull(seen->at("TotalAllocated")) >= std::stoull(seen->at("InUse")));
  CHECK(std::stoull(seen->at("MaxInUse")) >= 3 * MiB);
  CHECK(seen->at("NumAllocs") == "2");
  CHECK(seen->at("NumReserves") == "1");
  CHECK(seen->contains("NumArenaExtensions"));
  CHECK(seen->contains("NumArenaShrinkages"));
  CHECK(seen->at("MaxAllocSize") == std::to_string(3 * MiB));
  s.free(block);

  ort_scene limited({.bytes_max = 640 * MiB});
  REQUIRE(limited.host->GetStats(limited.host, &out) == nullptr);
  const std::unique_ptr<pairs> of_limited(reinterpret_cast<pairs*>(out));
  CHECK(of_limited->at("Limit") == std::to_string(640 * MiB));
}
#endif

#if ORT_API_VERSION >= 25
ORT_CASE("shrinking gives back what is free") {
  ort_scene s;
  s.free(s.alloc(100 * MiB));
  s.device->synchronize();
  CHECK(s.pool->statistics().reserved > 0);
  CHECK(s.host->Shrink(s.host) == nullptr);
  CHECK(s.pool->statistics().reserved == 0);
}
#endif

ORT_CASE("the provider's functions serve from the pool and remember the stream") {
  auto device = sim::device::make();
  auto pool = std::make_shared<weir::pool>(weir::pool::make(device->make_backend(), adapters::for_host()));
  stream_handle stream = device->create_stream();
  using external = onnxruntime::external_allocator<>;
  {
    external memory(pool, raw_stream(stream));
    auto* alloc = reinterpret_cast<void* (*)(std::size_t)>(std::stoull(external::alloc_address()));
    auto* free = reinterpret_cast<void (*)(void*)>(std::stoull(external::free_address()));
    auto* empty_cache = reinterpret_cast<void (*)()>(std::stoull(external::empty_cache_address()));
    void* block = alloc(3 * MiB);
    REQUIRE(block != nullptr);
    device->launch(stream, 1000, {{block, 3 * MiB}});
    free(block);
    free(nullptr);
    CHECK(alloc(3 * MiB) == block);
    free(block);
    CHECK(pool->statistics().live_count == 0);
    device->synchronize();
    empty_cache();
    CHECK(pool->statistics().reserved == 0);
    CHECK_THROWS_AS(external(pool), weir::logic_error);
    onnxruntime::external_allocator<1> for_another(pool);
    CHECK(for_another.alloc_address() != memory.alloc_address());
  }
  bug_catcher bugs;
  CHECK(external::alloc(4096) == nullptr);
  external::empty_cache();
  int mine = 0;
  external::free(&mine);
  CHECK(bugs.told() == std::vector<errc>{errc::null_pool});
  CHECK(device->violations().empty());
}

}  // namespace
}  // namespace weir::test
