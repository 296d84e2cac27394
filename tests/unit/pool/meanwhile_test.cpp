// SPDX-License-Identifier: Apache-2.0
//
// What another thread does while a call of the backend is under way: at the very moment, every time.
#include <functional>
#include <thread>
#include <utility>

#include "scene.hpp"

namespace weir::test {
namespace {

// What happens once, behind a call and before its caller goes on.
struct meanwhile {
  std::function<void()> record, is_idle, synchronize_device;

  static void happens(std::function<void()>& what) {
    if (what) std::thread(std::exchange(what, nullptr)).join();
  }
};

class interrupted_backend final : public backend {
 public:
  interrupted_backend(std::unique_ptr<backend> inner, meanwhile& m) : inner_(std::move(inner)), meanwhile_(m) {}

  const backend_capabilities& capabilities() const noexcept override { return inner_->capabilities(); }
  result<void*> allocate(std::size_t bytes, stream_handle s) noexcept override { return inner_->allocate(bytes, s); }
  result<void> deallocate(void* p, stream_handle s) noexcept override { return inner_->deallocate(p, s); }
  result<void> trim(std::size_t bytes_to_keep) noexcept override { return inner_->trim(bytes_to_keep); }
  result<native_pool_bytes> pool_bytes() noexcept override { return inner_->pool_bytes(); }
  result<void> reset_reserved_high() noexcept override { return inner_->reset_reserved_high(); }
  result<device_memory> memory() noexcept override { return inner_->memory(); }
  result<void*> allocate_direct(std::size_t bytes) noexcept override { return inner_->allocate_direct(bytes); }
  result<void> deallocate_direct(void* p) noexcept override { return inner_->deallocate_direct(p); }
  stream_handle own_stream() noexcept override { return inner_->own_stream(); }
  result<stream_handle> create_stream() noexcept override { return inner_->create_stream(); }
  result<void> destroy_stream(stream_handle s) noexcept override { return inner_->destroy_stream(s); }
  result<std::uint64_t> identify(stream_handle s) noexcept override { return inner_->identify(s); }
  result<stream_identity> examine(stream_handle s) noexcept override { return inner_->examine(s); }
  result<bool> is_idle(stream_handle s) noexcept override {
    auto answer = inner_->is_idle(s);
    meanwhile::happens(meanwhile_.is_idle);
    return answer;
  }
  result<backend_event*> create_event() noexcept override { return inner_->create_event(); }
  void destroy_event(backend_event* e) noexcept override { inner_->destroy_event(e); }
  result<void> record(backend_event* e, stream_handle s) noexcept override {
    auto answer = inner_->record(e, s);
    meanwhile::happens(meanwhile_.record);
    return answer;
  }
  result<bool> query(backend_event* e) noexcept override { return inner_->query(e); }
  result<void> wait(stream_handle s, backend_event* e) noexcept override { return inner_->wait(s, e); }
  result<void> synchronize(backend_event* e) noexcept override { return inner_->synchronize(e); }
  result<void> synchronize_device() noexcept override {
    auto answer = inner_->synchronize_device();
    meanwhile::happens(meanwhile_.synchronize_device);
    return answer;
  }
  std::uint64_t now_ns() const noexcept override { return inner_->now_ns(); }

 private:
  const std::unique_ptr<backend> inner_;
  meanwhile& meanwhile_;
};

constexpr std::size_t first = 128 * MiB, second = 64 * MiB;

// A stream has all there is, frees the first of two blocks, and meanwhile the second.
struct hand_over {
  std::shared_ptr<sim::device> device = sim::device::make();
  meanwhile then;
  pool p =
      pool::make(std::make_unique<interrupted_backend>(device->make_backend(), then), {.bytes_max = first + second});
  weir::stream from = must(p.stream(device->create_stream())), to = must(p.stream(device->create_stream()));
  void* one = get(first, from);
  void* two = get(second, from);

  ~hand_over() {
    for (const sim::violation& v : device->violations()) UNSCOPED_INFO(v.text);
    CHECK(device->violations().empty());
    CHECK(p.validate().empty());
  }

  void* get(std::size_t bytes, const weir::stream& s) {
    void* block = must(p.try_allocate(bytes, s));
    device->launch(s.handle(), 1000, {{block, bytes}});
    return block;
  }
  void free_second() {
    device->launch(from.handle(), long_ns, {{two, second}});
    must(p.try_deallocate(two, from));
  }
};

}  // namespace

TEST_CASE("meanwhile: what is freed while an event is recorded is not what it covers") {
  hand_over s;
  s.device->launch(s.from.handle(), long_ns, {{s.one, first}});
  must(s.p.try_deallocate(s.one, s.from));
  s.then.record = [&] { s.free_second(); };
  s.get(first, s.to);
  CHECK(!s.then.record);
  CHECK(s.p.statistics().waits_inserted == 1);
  s.get(second, s.to);
  CHECK(s.p.statistics().waits_inserted == 2);
}

TEST_CASE("meanwhile: what is freed while a stream is asked whether it is idle has not passed") {
  hand_over s;
  must(s.p.try_deallocate(s.one, s.from));
  s.device->advance(long_ns);
  s.then.is_idle = [&] { s.free_second(); };
  s.get(first, s.to);
  CHECK(!s.then.is_idle);
  CHECK(s.p.statistics().waits_inserted == 0);
  s.get(second, s.to);
  CHECK(s.p.statistics().waits_inserted == 1);
}

TEST_CASE("meanwhile: what is freed while the device is waited for has not passed") {
  hand_over s;
  must(s.p.try_deallocate(s.one, s.from));
  s.then.synchronize_device = [&] { s.free_second(); };
  CHECK(why(s.p.try_allocate(2 * first, s.to)) == errc::out_of_memory);
  CHECK(!s.then.synchronize_device);
  s.get(second, s.to);
}

}  // namespace weir::test
