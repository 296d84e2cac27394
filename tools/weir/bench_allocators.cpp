// SPDX-License-Identifier: Apache-2.0
#include "bench_allocators.hpp"

#include <algorithm>
#include <array>
#include <dlfcn.h>
#include <filesystem>

#include "exit_code.hpp"

namespace weir::cli {
namespace {

bench_reserved reserved_of(backend& of) {
  const native_pool_bytes bytes = must_have(of.pool_bytes());
  return {bytes.reserved, bytes.reserved_high};
}

// Of mimalloc 3 and 2, as distributions name it.
void* load_mimalloc() {
  std::error_code none;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", none).parent_path();
  for (const char* file : {"libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so"}) {
    for (const std::string& path : {std::string(file), (folder / file).string()})
      if (void* const object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return object;
  }
  return nullptr;
}

void* mimalloc() {
  static void* const object = load_mimalloc();
  return object;
}

std::size_t native_limit(const pool_options& options) { return options.bytes_max == SIZE_MAX ? 0 : options.bytes_max; }

constexpr std::array built_in{"weir", "weir-raw", "native", "direct", "malloc", "mimalloc", "floor"};

}  // namespace

bench_pool::bench_pool(const bench_stage& stage)
    : pool_(must_have(pool::try_make(must_have(stage.device().make_backend(native_limit(stage.pool_options()))),
                                     stage.pool_options()))) {}

std::optional<bench_reserved> bench_pool::reserved() { return reserved_of(pool_.backend()); }

bool bench_pool::trim() {
  must_have(pool_.trim(0));
  return true;
}

bench_weir::bench_weir(const bench_stage& stage, std::size_t stream_count) : bench_pool(stage) {
  for (std::size_t i = 0; i < stream_count; ++i) tokens_.push_back(must_have(pool_.stream(stage.stream(i))));
}

// Both may be refused only where the device is lost.
bench_weir::~bench_weir() {
  for (const auto& token : tokens_) static_cast<void>(pool_.retire(token));
}

bench_weir_raw::bench_weir_raw(const bench_stage& stage, std::size_t stream_count)
    : bench_pool(stage), stage_(stage), stream_count_(stream_count) {}

bench_weir_raw::~bench_weir_raw() {
  for (std::size_t i = 0; i < stream_count_; ++i) static_cast<void>(pool_.retire(stage_.stream(i)));
}

std::optional<bench_reserved> bench_native::reserved() { return reserved_of(*backend_); }

bool bench_native::trim() {
  must_have(backend_->trim(0));
  return true;
}

std::optional<bench_reserved> bench_plugin::reserved() const {
  if (!plugin_.knows_reserved()) return std::nullopt;
  return bench_reserved{plugin_->reserved(plugin_->context), plugin_->reserved_high(plugin_->context)};
}

void bench_plugin::lane::refuse(const char* call, int answer, std::size_t bytes) {
  const std::string why = answer == WEIR_PLUGIN_OUT_OF_MEMORY ? " (no room)" : "";
  throw bench_failure(std::string(call) + " of " + std::to_string(bytes) + " bytes answered " + std::to_string(answer) +
                      why);
}

bool bench_mimalloc::is_installed() { return mimalloc() != nullptr; }

bench_mimalloc::bench_mimalloc(const bench_stage&, std::size_t) {
  if (!is_installed()) throw bad_input("mimalloc: no libmimalloc.so is installed");
  lane_.malloc_ = reinterpret_cast<void* (*)(std::size_t)>(dlsym(mimalloc(), "mi_malloc"));
  lane_.free_ = reinterpret_cast<void (*)(void*)>(dlsym(mimalloc(), "mi_free"));
  if (!lane_.malloc_ || !lane_.free_) throw bad_input("mimalloc: its library has no mi_malloc or no mi_free");
}

void* bench_floor::lane::allocate(std::size_t) noexcept {
  asm volatile("");
  static char somewhere;
  return &somewhere;
}

void bench_floor::lane::deallocate(void*, std::size_t) noexcept { asm volatile(""); }

bool is_bench_allocator(const std::string& name) {
  return std::find(built_in.begin(), built_in.end(), name) != built_in.end() || plugin_path(name);
}

}  // namespace weir::cli
