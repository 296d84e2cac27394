// SPDX-License-Identifier: Apache-2.0
#include "scene.hpp"

#include <iterator>
#include <utility>

namespace weir::test {

namespace {

// One chunk a region unless the case says otherwise, so that what a case counts is small.
pool_options small_regions(pool_options options) {
  if (options.region_bytes == pool_options{}.region_bytes) options.region_bytes = 32 * MiB;
  if (options.region_bytes_min == pool_options{}.region_bytes_min) options.region_bytes_min = options.region_bytes;
  return options;
}

}  // namespace

scene::scene(pool_options options, sim::options what)
    : device(sim::device::make(std::move(what))),
      pool(pool::make(device->make_backend(), small_regions(std::move(options)))) {}

scene::~scene() {
  for (const sim::violation& v : device->violations()) UNSCOPED_INFO(v.text);
  CHECK(device->violations().empty());
  for (const std::string& broken : pool.validate()) UNSCOPED_INFO(broken);
  CHECK(pool.validate().empty());
}

void scene::write(void* p, std::size_t bytes, const weir::stream& s, std::uint64_t ns) {
  device->launch(s.handle(), ns, {{p, bytes}});
}

void scene::read(void* p, std::size_t bytes, const weir::stream& s, std::uint64_t ns) {
  const sim::range what{p, bytes};
  device->launch(s.handle(), ns, {}, {&what, 1});
}

void* scene::get(std::size_t bytes, const weir::stream& s, std::size_t alignment) {
  void* p = must(pool.try_allocate(bytes, s, alignment));
  write(p, bytes, s);
  return p;
}

void scene::put(void* p, std::size_t bytes, const weir::stream& s) {
  read(p, bytes, s);
  must(pool.try_deallocate(p, bytes, s));
}

holdings holdings_of(const weir::pool& pool) {
  const auto s = pool.statistics();
  return {s.allocated, s.free,    s.held,        s.reserved,      s.direct,
          s.cached,    s.pending, s.allocations, s.deallocations, s.live_count};
}

bool live_ranges::add(const void* begin, std::size_t bytes) {
  const auto from = reinterpret_cast<std::uintptr_t>(begin);
  const auto [at, fresh] = ends_.emplace(from, from + bytes);
  if (!fresh) return false;
  const auto after = std::next(at);
  return (at == ends_.begin() || std::prev(at)->second <= from) && (after == ends_.end() || at->second <= after->first);
}

namespace {

std::vector<errc> caught;
bug_handler before = nullptr;

void note(const error& e) noexcept { caught.push_back(e.code); }

}  // namespace

bug_catcher::bug_catcher() {
  caught.clear();
  before = set_bug_handler(note);
}

bug_catcher::~bug_catcher() { set_bug_handler(before); }

std::vector<errc> bug_catcher::told() const { return caught; }

}  // namespace weir::test
