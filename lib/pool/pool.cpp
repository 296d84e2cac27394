// SPDX-License-Identifier: Apache-2.0
//
// The C++ edge: answers become exceptions, bugs go to the handler, null pools say so.
#include "weir/pool.hpp"

#include <type_traits>

#include "pool/hit.hpp"

namespace weir {

namespace {

error null_pool() noexcept { return {.code = errc::null_pool}; }

// Runs `act` on the state that a token or a handle speaks of.
template <class Result, class Stream, class Act>
Result on_stream(const std::unique_ptr<detail::pool_impl>& impl, const Stream& stream, Act act) noexcept {
  if (!impl) return null_pool();
  auto state = impl->resolve(stream);
  if (!state) return std::move(state).error();
  return act(**state);
}

void or_report(const result<void>& done) noexcept {
  if (!done) report_bug(done.error());
}

// The long ways, out of line, so that what a hit executes is a leaf.

template <class Stream>
[[gnu::noinline]] result<void*> allocate_on(const std::unique_ptr<detail::pool_impl>& impl, const Stream& on,
                                            std::size_t bytes, std::size_t alignment) noexcept {
  if constexpr (std::is_same_v<Stream, weir::stream>) {
    void* p = nullptr;
    if (alignment == pool::alignment_default && detail::take_other_hit(impl.get(), on, bytes, p)) return p;
  }
  return on_stream<result<void*>>(impl, on, [&](auto& s) { return impl->allocate(bytes, s, alignment); });
}

template <class Stream>
[[gnu::noinline]] void* allocate_or_throw(const std::unique_ptr<detail::pool_impl>& impl, std::size_t bytes,
                                          const Stream& on, std::size_t alignment) {
  if constexpr (std::is_same_v<Stream, weir::stream>) {
    void* hit = nullptr;
    if (alignment == pool::alignment_default && detail::take_other_hit(impl.get(), on, bytes, hit)) return hit;
  }
  auto p = on_stream<result<void*>>(impl, on, [&](auto& s) { return impl->allocate(bytes, s, alignment); });
  return std::move(p).value();
}

template <class Stream>
[[gnu::noinline]] result<void> deallocate_on(const std::unique_ptr<detail::pool_impl>& impl, const Stream& on, void* p,
                                             std::size_t bytes) noexcept {
  if constexpr (std::is_same_v<Stream, weir::stream>) {
    if (detail::give_other_hit(impl.get(), on, p, bytes)) return {};
  }
  return on_stream<result<void>>(impl, on, [&](auto& s) { return impl->deallocate(p, bytes, s); });
}

template <class Stream>
[[gnu::noinline]] void deallocate_or_report(const std::unique_ptr<detail::pool_impl>& impl, void* p, const Stream& on,
                                            std::size_t bytes) noexcept {
  if constexpr (std::is_same_v<Stream, weir::stream>) {
    if (detail::give_other_hit(impl.get(), on, p, bytes)) return;
  }
  or_report(on_stream<result<void>>(impl, on, [&](auto& s) { return impl->deallocate(p, bytes, s); }));
}

std::unique_ptr<backend> or_raise(result<std::unique_ptr<backend>> made) { return std::move(made).value(); }

result<std::unique_ptr<backend>> backend_for(int device, const pool_options& options) noexcept {
  cuda_backend_options native{.handle_types = options.handle_types};
  if (options.bytes_max != SIZE_MAX) native.pool_bytes_max = options.bytes_max;
  return make_cuda_backend(device, native);
}

}  // namespace

// --- making ---------------------------------------------------------------------------------------------------------

result<pool> pool::try_make(std::unique_ptr<weir::backend> backend, pool_options options) noexcept {
  auto impl = detail::pool_impl::make(std::move(backend), std::move(options));
  if (!impl) return std::move(impl).error();
  return pool(std::move(*impl));
}

result<pool> pool::try_make(int device, pool_options options) noexcept {
  auto backend = backend_for(device, options);
  if (!backend) return std::move(backend).error();
  return try_make(std::move(*backend), std::move(options));
}

pool pool::make(int device, pool_options options) {
  auto backend = or_raise(backend_for(device, options));
  return make(std::move(backend), std::move(options));
}

pool pool::make(std::unique_ptr<weir::backend> backend, pool_options options) {
  return try_make(std::move(backend), std::move(options)).value();
}

pool::pool() noexcept = default;
pool::pool(pool&&) noexcept = default;
pool& pool::operator=(pool&&) noexcept = default;
pool::~pool() = default;
pool::pool(std::unique_ptr<detail::pool_impl> impl) noexcept : impl_(std::move(impl)) {}

// --- allocating -----------------------------------------------------------------------------------------------------

result<void*> pool::try_allocate(std::size_t bytes, const weir::stream& on, std::size_t alignment) noexcept {
  void* p = nullptr;
  if (alignment == alignment_default && detail::take_hit(impl_.get(), on.state(), bytes, p)) [[likely]]
    return p;
  return allocate_on(impl_, on, bytes, alignment);
}

result<void*> pool::try_allocate(std::size_t bytes, raw_stream on, std::size_t alignment) noexcept {
  void* p = nullptr;
  if (alignment == alignment_default && detail::take_raw_hit(impl_.get(), on.handle(), bytes, p)) return p;
  return allocate_on(impl_, on, bytes, alignment);
}

void* pool::allocate(std::size_t bytes, const weir::stream& on) {
  void* p = nullptr;
  if (detail::take_hit(impl_.get(), on.state(), bytes, p)) [[likely]]
    return p;
  return allocate_or_throw(impl_, bytes, on, alignment_default);
}

void* pool::allocate(std::size_t bytes, const weir::stream& on, std::size_t alignment) {
  return try_allocate(bytes, on, alignment).value();
}

void* pool::allocate(std::size_t bytes, raw_stream on, std::size_t alignment) {
  return try_allocate(bytes, on, alignment).value();
}

result<void> pool::try_deallocate(void* p, std::size_t bytes, const weir::stream& on) noexcept {
  if (detail::give_hit(impl_.get(), on.state(), p, bytes)) [[likely]]
    return {};
  return deallocate_on(impl_, on, p, bytes);
}

result<void> pool::try_deallocate(void* p, std::size_t bytes, raw_stream on) noexcept {
  if (detail::give_raw_hit(impl_.get(), on.handle(), p, bytes)) return {};
  return deallocate_on(impl_, on, p, bytes);
}

result<void> pool::try_deallocate(void* p, const weir::stream& on) noexcept { return try_deallocate(p, 0, on); }
result<void> pool::try_deallocate(void* p, raw_stream on) noexcept { return try_deallocate(p, 0, on); }

void pool::deallocate(void* p, const weir::stream& on) noexcept {
  if (!detail::give_hit(impl_.get(), on.state(), p, 0)) deallocate_or_report(impl_, p, on, 0);
}
void pool::deallocate(void* p, raw_stream on) noexcept { or_report(try_deallocate(p, on)); }
void pool::deallocate(void* p, std::size_t bytes, const weir::stream& on) noexcept {
  if (!detail::give_hit(impl_.get(), on.state(), p, bytes)) deallocate_or_report(impl_, p, on, bytes);
}
void pool::deallocate(void* p, std::size_t bytes, raw_stream on) noexcept { or_report(try_deallocate(p, bytes, on)); }

result<void*> pool::try_allocate_direct(std::size_t bytes) noexcept {
  if (!impl_) return null_pool();
  return impl_->allocate_direct(bytes);
}

void* pool::allocate_direct(std::size_t bytes) { return try_allocate_direct(bytes).value(); }

result<void> pool::try_deallocate_direct(void* p) noexcept {
  if (!impl_) return null_pool();
  return impl_->deallocate_direct(p);
}

void pool::deallocate_direct(void* p) noexcept { or_report(try_deallocate_direct(p)); }

// --- streams --------------------------------------------------------------------------------------------------------

result<void> pool::record_use(void* p, const weir::stream& on) noexcept {
  return on_stream<result<void>>(impl_, on, [&](auto& s) { return impl_->record_use(p, s); });
}

result<void> pool::record_use(void* p, raw_stream on) noexcept {
  return on_stream<result<void>>(impl_, on, [&](auto& s) { return impl_->record_use(p, s); });
}

result<weir::stream> pool::identify(raw_stream raw) noexcept {
  if (!impl_) return null_pool();
  return impl_->identify(raw);
}

result<void> pool::try_deallocate_late(void* p, std::size_t bytes, const weir::stream& on) noexcept {
  if (detail::give_hit(impl_.get(), on.state(), p, bytes)) [[likely]]
    return {};
  if (!impl_) return null_pool();
  if (!on) return error{.code = errc::invalid_argument, .what = "an empty weir::stream"};
  if (detail::give_other_hit(impl_.get(), on, p, bytes)) return {};
  if (!impl_->has_met(*on.state())) return error{.code = errc::wrong_device, .what = "a stream of another pool"};
  return impl_->deallocate_late(p, bytes, *on.state());
}

result<weir::stream> pool::stream(raw_stream raw) noexcept {
  if (!impl_) return null_pool();
  return impl_->token(raw);
}

result<capture_scope> pool::try_capture(const weir::stream& on, const graph_memory& memory) noexcept {
  return on_stream<result<capture_scope>>(impl_, on, [&](auto& s) { return impl_->capture(s, memory); });
}

result<capture_scope> pool::try_capture(raw_stream on, const graph_memory& memory) noexcept {
  return on_stream<result<capture_scope>>(impl_, on, [&](auto& s) { return impl_->capture(s, memory); });
}

capture_scope pool::capture(const weir::stream& on, const graph_memory& memory) {
  return try_capture(on, memory).value();
}

capture_scope pool::capture(raw_stream on, const graph_memory& memory) { return try_capture(on, memory).value(); }

result<void> pool::retire(const weir::stream& token) noexcept {
  return on_stream<result<void>>(impl_, token, [&](auto& s) { return impl_->retire(s); });
}

result<void> pool::retire(raw_stream raw) noexcept {
  return on_stream<result<void>>(impl_, raw, [&](auto& s) { return impl_->retire(s); });
}

// --- the rest -------------------------------------------------------------------------------------------------------

result<trim_report> pool::trim(std::size_t bytes_to_keep) noexcept {
  if (!impl_) return null_pool();
  return impl_->trim(bytes_to_keep);
}

result<trim_report> pool::trim(std::size_t bytes_to_keep, raw_stream on) noexcept {
  return on_stream<result<trim_report>>(impl_, on, [&](auto& s) { return impl_->trim(bytes_to_keep, &s); });
}

result<trim_report> pool::synchronize_and_trim(std::size_t bytes_to_keep) noexcept {
  if (!impl_) return null_pool();
  return impl_->synchronize_and_trim(bytes_to_keep);
}

result<trim_report> pool::trim() noexcept {
  if (!impl_) return null_pool();
  return impl_->trim_by_policy();
}

result<defragment_report> pool::defragment() noexcept {
  if (!impl_) return null_pool();
  return impl_->defragment();
}

result<void> pool::set_bytes_max(std::size_t bytes) noexcept {
  if (!impl_) return null_pool();
  return impl_->set_bytes_max(bytes);
}

result<void> pool::allow_peer(int device) noexcept {
  if (!impl_) return null_pool();
  return impl_->allow_peer(device);
}

result<exported_pool> pool::export_pool(unsigned handle_type) noexcept {
  if (!impl_) return null_pool();
  return impl_->export_pool(handle_type);
}

result<exported_block> pool::export_block(const void* p) noexcept {
  if (!impl_) return null_pool();
  return impl_->export_block(p);
}

weir::statistics pool::statistics() const { return impl_ ? impl_->read_statistics() : weir::statistics{}; }

void pool::walk(const std::function<void(const block_info&)>& visit) const {
  if (impl_) impl_->walk(visit);
}

std::vector<std::string> pool::validate() const { return impl_ ? impl_->validate() : std::vector<std::string>{}; }

int pool::device() const noexcept { return impl_ ? impl_->device() : -1; }
const pool_options& pool::options() const noexcept { return impl_->options(); }
weir::backend& pool::backend() const noexcept { return impl_->device_backend(); }

}  // namespace weir
