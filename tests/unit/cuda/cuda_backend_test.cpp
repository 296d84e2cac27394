// SPDX-License-Identifier: Apache-2.0
//
// What the CUDA backend does around and instead of driver calls, on a driver that only remembers.
#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_driver.hpp"
#include "weir/backend.hpp"

namespace weir::test {
namespace {

template <class T>
errc code_of(const result<T>& r) {
  return r ? errc::ok : r.error().code;
}

const stream_handle stream = fake_stream(1);
constexpr std::size_t MiB = std::size_t{1} << 20;

struct setting {
  fake_driver& driver = reset_fake_driver();
  std::unique_ptr<backend> target;

  explicit setting(cuda_backend_options options = {}) : target(make_cuda_backend(0, options).value()) {
    driver.calls.clear();
  }
};

backend_event* an_event() { return reinterpret_cast<backend_event*>(0x800); }

// Each call of the backend that works on a stream, by the driver call it stands for.
struct stream_call {
  const char* driver_call;
  std::function<errc(backend&, stream_handle)> make;
};
const std::vector<stream_call> stream_calls{
    {"cuMemAllocFromPoolAsync", [](backend& b, stream_handle s) { return code_of(b.allocate(MiB, s)); }},
    {"cuMemFreeAsync", [](backend& b, stream_handle s) { return code_of(b.deallocate(&b, s)); }},
    {"cuEventRecord", [](backend& b, stream_handle s) { return code_of(b.record(an_event(), s)); }},
    {"cuStreamWaitEvent", [](backend& b, stream_handle s) { return code_of(b.wait(s, an_event())); }},
    {"cuStreamQuery", [](backend& b, stream_handle s) { return code_of(b.is_idle(s)); }},
    {"cuStreamGetId", [](backend& b, stream_handle s) { return code_of(b.examine(s)); }},
};

void call_everything(backend& target) {
  for (const auto& call : stream_calls) CHECK(call.make(target, stream) == errc::ok);
  CHECK(target.trim(0));
  CHECK(target.pool_bytes());
  CHECK(target.reset_reserved_high());
  CHECK(target.memory());
  CHECK(target.allocate_direct(MiB));
  CHECK(target.deallocate_direct(&target));
  CHECK(target.identify(stream));
  CHECK(target.create_event());
  CHECK(target.query(an_event()));
  CHECK(target.synchronize(an_event()));
  CHECK(target.synchronize_device());
  target.destroy_event(an_event());
}

TEST_CASE("cuda backend: every call finds its context and relaxed captures, and leaves what was there") {
  setting s;
  SECTION("no context was current") {}
  SECTION("another device's was") { s.driver.stack.push_back(primary_context(1)); }
  SECTION("the device's own was") { s.driver.stack.push_back(primary_context(0)); }
  SECTION("another of the same device was") { s.driver.stack.push_back(other_context(0)); }
  const auto before = s.driver.stack;
  s.driver.mode = CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
  call_everything(*s.target);
  s.target.reset();
  CHECK(s.driver.stack == before);
  CHECK(s.driver.mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  CHECK_FALSE(s.driver.calls_without_context);
  CHECK_FALSE(s.driver.calls_unrelaxed);
}

TEST_CASE("cuda backend: a failing call leaves what was there too") {
  setting s;
  for (const auto& call : stream_calls) s.driver.answers[call.driver_call] = CUDA_ERROR_INVALID_VALUE;
  for (const auto& call : stream_calls) CHECK(call.make(*s.target, stream) == errc::cuda);
  CHECK(s.driver.stack.empty());
  CHECK(s.driver.mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
}

TEST_CASE("cuda backend: a capturing stream is refused before it is touched") {
  setting s;
  for (const auto& call : stream_calls) {
    CAPTURE(call.driver_call);
    s.driver.capturing = {stream};
    CHECK(call.make(*s.target, stream) == errc::stream_capturing);
    s.driver.capturing.clear();
    s.driver.answers["cuStreamIsCapturing"] = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    CHECK(call.make(*s.target, legacy_stream()) == errc::stream_capturing);
    s.driver.answers.clear();
    CHECK_FALSE(s.driver.called(call.driver_call));
    CHECK(call.make(*s.target, stream) == errc::ok);
    CHECK(s.driver.count(call.driver_call) == 1);
  }
}

TEST_CASE("cuda backend: its own stream is never captured, and not asked whether it is") {
  setting s;
  for (const auto& call : stream_calls) {
    CAPTURE(call.driver_call);
    s.driver.calls.clear();
    CHECK(call.make(*s.target, s.target->own_stream()) == errc::ok);
    CHECK(s.driver.count(call.driver_call) == 1);
    CHECK_FALSE(s.driver.called("cuStreamIsCapturing"));
    CHECK(call.make(*s.target, stream) == errc::ok);
    CHECK(s.driver.count("cuStreamIsCapturing") == 1);
  }
  CHECK_FALSE(s.driver.calls_unrelaxed);
  CHECK_FALSE(s.driver.calls_without_context);
}

TEST_CASE("cuda backend: an error that stays is the device's, with CUDA's code") {
  setting s;
  for (const auto& call : stream_calls) {
    s.driver.answers[call.driver_call] = CUDA_ERROR_ILLEGAL_ADDRESS;
    CHECK(call.make(*s.target, stream) == errc::device_lost);
  }
  s.driver.answers["cuEventSynchronize"] = CUDA_ERROR_LAUNCH_FAILED;
  const auto answer = s.target->synchronize(an_event());
  REQUIRE(code_of(answer) == errc::device_lost);
  CHECK(answer.error().native_code == CUDA_ERROR_LAUNCH_FAILED);
}

TEST_CASE("cuda backend: not ready is an answer") {
  setting s;
  s.driver.answers = {{"cuEventQuery", CUDA_ERROR_NOT_READY}, {"cuStreamQuery", CUDA_ERROR_NOT_READY}};
  CHECK_FALSE(s.target->query(an_event()).value());
  CHECK_FALSE(s.target->is_idle(stream).value());
  s.driver.answers.clear();
  CHECK(s.target->query(an_event()).value());
  CHECK(s.target->is_idle(stream).value());
}

using names = std::vector<std::string>;

TEST_CASE("cuda backend: waiting for the device unregisters a page of the host, each time") {
  setting s;
  for (int i = 0; i < 2; ++i) {
    s.driver.calls.clear();
    CHECK(s.target->synchronize_device());
    CHECK(s.driver.calls == names{"cuMemHostRegister", "cuMemHostUnregister", "cuStreamSynchronize"});
    CHECK(s.driver.registered.empty());
  }
}

TEST_CASE("cuda backend: where no page can be registered, waiting for the device frees some of its memory") {
  setting s;
  s.driver.answers["cuMemHostRegister"] = CUDA_ERROR_NOT_SUPPORTED;
  CHECK(s.target->synchronize_device());
  CHECK(s.driver.calls == names{"cuMemHostRegister", "cuMemAlloc", "cuMemFree", "cuStreamSynchronize"});
  SECTION("and with no memory either it says why there was no page") {
    s.driver.answers["cuMemAlloc"] = CUDA_ERROR_OUT_OF_MEMORY;
    CHECK(code_of(s.target->synchronize_device()) == errc::not_supported);
  }
  SECTION("a free that fails is no wait") {
    s.driver.answers["cuMemFree"] = CUDA_ERROR_INVALID_VALUE;
    CHECK(code_of(s.target->synchronize_device()) == errc::not_supported);
  }
}

TEST_CASE("cuda backend: a page that stays registered does not keep later waits from waiting") {
  setting s;
  s.driver.answers["cuMemHostUnregister"] = CUDA_ERROR_INVALID_VALUE;
  for (int i = 0; i < 2; ++i) {
    s.driver.calls.clear();
    CHECK(s.target->synchronize_device());
    CHECK(s.driver.count("cuMemFree") == 1);
  }
}

TEST_CASE("cuda backend: waiting for the device tells that it is lost, whichever call the driver tells it to") {
  for (const char* teller :
       {"cuMemHostRegister", "cuMemHostUnregister", "cuMemAlloc", "cuMemFree", "cuStreamSynchronize"}) {
    CAPTURE(teller);
    setting s;
    s.driver.answers["cuMemHostRegister"] = CUDA_ERROR_NOT_SUPPORTED;
    const std::string by = teller;
    if (by == "cuMemHostUnregister" || by == "cuStreamSynchronize") s.driver.answers.clear();
    s.driver.answers[teller] = CUDA_ERROR_ILLEGAL_ADDRESS;
    const auto answer = s.target->synchronize_device();
    REQUIRE(code_of(answer) == errc::device_lost);
    CHECK(answer.error().native_code == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(s.driver.calls.back() == teller);
  }
}

TEST_CASE("cuda backend: the bytes of the pool are three questions in one pair of capture modes") {
  setting s;
  s.driver.pool_reserved = 64 * MiB;
  s.driver.pool_reserved_high = 96 * MiB;
  s.driver.pool_used = 48 * MiB;
  s.driver.mode_exchanges = 0;
  const native_pool_bytes bytes = s.target->pool_bytes().value();
  CHECK(s.driver.calls == names(3, "cuMemPoolGetAttribute"));
  CHECK(s.driver.mode_exchanges == 2);
  CHECK(bytes.reserved == 64 * MiB);
  CHECK(bytes.reserved_high == 96 * MiB);
  CHECK(bytes.used == 48 * MiB);
  s.driver.pool_reserved_high = 0;  // just reset
  CHECK(s.target->pool_bytes().value().reserved_high == 64 * MiB);
  s.driver.answers["cuMemPoolGetAttribute"] = CUDA_ERROR_INVALID_VALUE;
  CHECK(code_of(s.target->pool_bytes()) == errc::cuda);
}

TEST_CASE("cuda backend: out of memory tells what was asked for and what could have been had") {
  const std::size_t limit = 512 * MiB;
  setting s({.pool_bytes_max = limit});
  s.driver.free_bytes = 100 * MiB;
  s.driver.pool_reserved = 64 * MiB;
  s.driver.pool_used = 48 * MiB;
  s.driver.answers = {{"cuMemAllocFromPoolAsync", CUDA_ERROR_OUT_OF_MEMORY}, {"cuMemAlloc", CUDA_ERROR_OUT_OF_MEMORY}};
  const auto pooled = s.target->allocate(200 * MiB, stream);
  REQUIRE(code_of(pooled) == errc::out_of_memory);
  CHECK(pooled.error().bytes == 200 * MiB);
  CHECK(pooled.error().limit == 116 * MiB);
  CHECK(s.target->allocate_direct(200 * MiB).error().limit == 100 * MiB);
  s.driver.free_bytes = 3000 * MiB;  // then the pool's own maximum is the least
  CHECK(s.target->allocate(600 * MiB, stream).error().limit == limit - 48 * MiB);
}

TEST_CASE("cuda backend: what no device can have is refused without asking the driver") {
  setting s;
  CHECK(code_of(s.target->allocate(SIZE_MAX, stream)) == errc::out_of_memory);
  CHECK(code_of(s.target->allocate_direct(SIZE_MAX - 511)) == errc::out_of_memory);
  CHECK_FALSE(s.driver.called("cuMemAllocFromPoolAsync"));
  CHECK_FALSE(s.driver.called("cuMemAlloc"));
}

TEST_CASE("cuda backend: streams of other contexts and devices are refused by name") {
  setting s;
  CHECK(code_of(s.target->examine(stream)) == errc::ok);
  s.driver.contexts[stream] = other_context(0);
  CHECK(code_of(s.target->examine(stream)) == errc::stream_unsupported);
  s.driver.contexts[stream] = primary_context(1);
  CHECK(code_of(s.target->examine(stream)) == errc::wrong_device);
  CHECK(cuda_stream_device(stream).value() == 1);
  CHECK(s.driver.stack.empty());
}

TEST_CASE("cuda backend: a stream that is being captured is not asked for its id, which would end the capture") {
  setting s;
  s.driver.capturing = {stream};
  CHECK(code_of(s.target->identify(stream)) == errc::stream_capturing);
  CHECK(s.driver.count("cuStreamGetId") == 0);
  s.driver.capturing.clear();
  CHECK(s.target->identify(stream));
  CHECK(s.driver.count("cuStreamGetId") == 1);
  s.driver.answers["cuStreamGetId"] = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  CHECK(code_of(s.target->identify(legacy_stream())) == errc::stream_capturing);
}

TEST_CASE("cuda backend: an identity has the id and the kind") {
  setting s;
  const auto plain = s.target->examine(stream).value();
  CHECK(plain.id == s.target->identify(stream).value());
  CHECK(plain.kind == stream_kind::ordinary);
  CHECK(s.target->examine(legacy_stream()).value().kind == stream_kind::legacy_default);
  CHECK(s.target->examine(per_thread_stream()).value().kind == stream_kind::per_thread_default);
}

TEST_CASE("cuda backend: its end destroys what it made, once") {
  setting s;
  s.target.reset();
  CHECK(s.driver.calls == std::vector<std::string>{"cuStreamDestroy", "cuMemPoolDestroy"});
}

TEST_CASE("cuda backend: what cannot be made leaves nothing behind") {
  fake_driver& driver = reset_fake_driver();
  SECTION("no native pools") {
    driver.pools_supported = 0;
    CHECK(code_of(make_cuda_backend(0)) == errc::not_supported);
    CHECK_FALSE(driver.called("cuDevicePrimaryCtxRetain"));
  }
  SECTION("the pool is refused") {
    driver.answers["cuMemPoolCreate"] = CUDA_ERROR_NOT_SUPPORTED;
    CHECK(code_of(make_cuda_backend(0)) == errc::not_supported);
    CHECK(driver.count("cuStreamCreate") == driver.count("cuStreamDestroy"));
    CHECK_FALSE(driver.called("cuMemPoolDestroy"));
  }
  SECTION("the threshold is refused") {
    driver.answers["cuMemPoolSetAttribute"] = CUDA_ERROR_INVALID_VALUE;
    CHECK(code_of(make_cuda_backend(0)) == errc::cuda);
    CHECK(driver.count("cuStreamCreate") == driver.count("cuStreamDestroy"));
    CHECK(driver.count("cuMemPoolCreate") == driver.count("cuMemPoolDestroy"));
  }
  SECTION("no such device") {
    const auto made = make_cuda_backend(fake_device_count);
    REQUIRE(code_of(made) == errc::no_such_device);
    CHECK(made.error().bytes == fake_device_count);
    CHECK(made.error().limit == fake_device_count);
    CHECK(code_of(make_cuda_backend(-1)) == errc::no_such_device);
  }
  CHECK(driver.stack.empty());
  CHECK_FALSE(driver.calls_without_context);
  CHECK_FALSE(driver.calls_unrelaxed);
}

TEST_CASE("cuda backend: a pool made for export is not trimmed") {
  setting s({.handle_types = 1});
  CHECK_FALSE(s.target->capabilities().can_trim);
  CHECK(code_of(s.target->trim(0)) == errc::not_supported);
  CHECK_FALSE(s.driver.called("cuMemPoolTrimTo"));
}

TEST_CASE("cuda backend: access is given to devices that can reach it") {
  setting s;
  CHECK(code_of(s.target->allow_access(0)) == errc::ok);
  CHECK_FALSE(s.driver.called("cuMemPoolSetAccess"));  // its own
  CHECK(code_of(s.target->allow_access(1)) == errc::ok);
  CHECK(s.driver.accessible_from == 1);
  s.driver.peers = 0;
  s.driver.calls.clear();
  CHECK(code_of(s.target->allow_access(1)) == errc::not_supported);
  CHECK_FALSE(s.driver.called("cuMemPoolSetAccess"));
}

TEST_CASE("cuda backend: in a forked child nothing reaches the driver") {
  setting s;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool wrong = false;
    for (const auto& call : stream_calls) wrong |= call.make(*s.target, stream) != errc::forked;
    wrong |= code_of(s.target->identify(stream)) != errc::forked;
    wrong |= code_of(s.target->synchronize_device()) != errc::forked;
    wrong |= code_of(cuda_device_count()) != errc::forked;
    wrong |= code_of(cuda_stream_device(stream)) != errc::forked;
    s.target.reset();
    _exit(wrong || !s.driver.calls.empty() ? 1 : 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(code_of(s.target->identify(stream)) == errc::ok);
}

}  // namespace
}  // namespace weir::test
