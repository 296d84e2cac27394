// SPDX-License-Identifier: Apache-2.0
//
// The allocators of a bench. Each is a plain class of the same shape, given to the measurements as a template argument:
//
//     A(const bench_stage&, std::size_t stream_count);     // throws bench_failure
//     name();                                              // what figures call it
//     lane on(std::size_t stream) noexcept;                // the allocator on one stream, usable by any thread
//       void* lane::allocate(std::size_t bytes) const;     //   throws where it fails
//       void lane::deallocate(void*, std::size_t bytes) const;
//     std::optional<bench_reserved> reserved();            // nothing where it is not known
//     bool trim();                                         // false where it cannot
//     static constexpr bool is_of_device, is_slow;         // yardsticks are not; slow: tens of microseconds a call
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "allocator_plugin.hpp"
#include "bench_stage.hpp"
#include "weir/pool.hpp"

namespace weir::cli {

struct bench_reserved {
  std::size_t now = 0;
  std::size_t high = 0;
};

// weir, and what its two ways have in common.
class bench_pool {
 public:
  static constexpr bool is_of_device = true;
  static constexpr bool is_slow = false;

  std::optional<bench_reserved> reserved();
  bool trim();

 protected:
  explicit bench_pool(const bench_stage&);
  pool pool_;
};

class bench_weir : public bench_pool {
 public:
  static const char* name() noexcept { return "weir"; }
  bench_weir(const bench_stage&, std::size_t stream_count);
  ~bench_weir();

  class lane {
   public:
    lane(pool& p, weir::stream token) noexcept : pool_(&p), token_(std::move(token)) {}
    void* allocate(std::size_t bytes) const { return pool_->allocate(bytes, token_); }
    void deallocate(void* block, std::size_t) const noexcept { pool_->deallocate(block, token_); }

   private:
    pool* pool_;
    weir::stream token_;
  };
  lane on(std::size_t stream) noexcept { return {pool_, tokens_[stream]}; }

 private:
  std::vector<weir::stream> tokens_;
};

// Handles, verified at each call.
class bench_weir_raw : public bench_pool {
 public:
  static const char* name() noexcept { return "weir-raw"; }
  bench_weir_raw(const bench_stage& stage, std::size_t stream_count);
  ~bench_weir_raw();

  class lane {
   public:
    lane(pool& p, stream_handle handle) noexcept : pool_(&p), stream_(handle) {}
    void* allocate(std::size_t bytes) const { return pool_->allocate(bytes, stream_); }
    void deallocate(void* block, std::size_t) const noexcept { pool_->deallocate(block, stream_); }

   private:
    pool* pool_;
    raw_stream stream_;
  };
  lane on(std::size_t stream) noexcept { return {pool_, stage_.stream(stream)}; }

 private:
  const bench_stage& stage_;
  std::size_t stream_count_;
};

// The native pool, called each time.
class bench_native {
 public:
  static constexpr bool is_of_device = true;
  static constexpr bool is_slow = false;
  static const char* name() noexcept { return "native"; }
  bench_native(const bench_stage& stage, std::size_t)
      : stage_(stage), backend_(must_have(stage.device().make_backend())) {}

  class lane {
   public:
    lane(backend& b, stream_handle handle) noexcept : backend_(&b), handle_(handle) {}
    void* allocate(std::size_t bytes) const { return must_have(backend_->allocate(bytes, handle_)); }
    void deallocate(void* block, std::size_t) const { must_have(backend_->deallocate(block, handle_)); }

   private:
    backend* backend_;
    stream_handle handle_;
  };
  lane on(std::size_t stream) noexcept { return {*backend_, stage_.stream(stream)}; }
  std::optional<bench_reserved> reserved();
  bool trim();

 private:
  const bench_stage& stage_;
  std::unique_ptr<backend> backend_;
};

// cudaMalloc and cudaFree. What it has reserved is what is live.
class bench_direct {
 public:
  static constexpr bool is_of_device = true;
  static constexpr bool is_slow = true;
  static const char* name() noexcept { return "direct"; }
  bench_direct(const bench_stage& stage, std::size_t) : backend_(must_have(stage.device().make_backend())) {}

  class lane {
   public:
    explicit lane(bench_direct& owner) noexcept : owner_(&owner) {}
    void* allocate(std::size_t bytes) const {
      void* const block = must_have(owner_->backend_->allocate_direct(bytes));
      owner_->live_.now += bytes;
      owner_->live_.high = std::max(owner_->live_.high, owner_->live_.now);
      return block;
    }
    void deallocate(void* block, std::size_t bytes) const {
      must_have(owner_->backend_->deallocate_direct(block));
      owner_->live_.now -= bytes;
    }

   private:
    bench_direct* owner_;
  };
  lane on(std::size_t) noexcept { return lane(*this); }
  std::optional<bench_reserved> reserved() const { return live_; }
  static bool trim() noexcept { return false; }

 private:
  std::unique_ptr<backend> backend_;
  bench_reserved live_;  // of one thread: slow ones are not measured with more
};

// An allocator from a shared object.
class bench_plugin {
 public:
  static constexpr bool is_of_device = true;
  static constexpr bool is_slow = false;
  // Throws bad_input too, as allocator_plugin does.
  bench_plugin(const bench_stage& stage, std::size_t, const std::string& path)
      : stage_(stage), plugin_(path, stage.device()) {}
  const std::string& name() const noexcept { return plugin_.name(); }

  class lane {
   public:
    lane(const weir_plugin& plugin, stream_handle handle) noexcept
        : allocate_(plugin.allocate), deallocate_(plugin.deallocate), context_(plugin.context), handle_(handle) {}
    void* allocate(std::size_t bytes) const {
      void* block = nullptr;
      if (const int answer = allocate_(context_, bytes, handle_, &block)) refuse("allocate", answer, bytes);
      return block;
    }
    void deallocate(void* block, std::size_t bytes) const {
      if (const int answer = deallocate_(context_, block, bytes, handle_)) refuse("deallocate", answer, bytes);
    }

   private:
    [[noreturn]] static void refuse(const char* call, int answer, std::size_t bytes);

    decltype(weir_plugin::allocate) allocate_;
    decltype(weir_plugin::deallocate) deallocate_;
    void* context_;
    stream_handle handle_;
  };
  lane on(std::size_t stream) noexcept { return {*plugin_.operator->(), stage_.stream(stream)}; }
  std::optional<bench_reserved> reserved() const;
  static bool trim() noexcept { return false; }

 private:
  const bench_stage& stage_;
  allocator_plugin plugin_;
};

// Yardsticks: memory of the host, and none at all.
class bench_yardstick {
 public:
  static constexpr bool is_of_device = false;
  static constexpr bool is_slow = false;
  static std::optional<bench_reserved> reserved() noexcept { return std::nullopt; }
  static bool trim() noexcept { return false; }
};

class bench_malloc : public bench_yardstick {
 public:
  static const char* name() noexcept { return "malloc"; }
  bench_malloc(const bench_stage&, std::size_t) noexcept {}
  struct lane {
    static void* allocate(std::size_t bytes) noexcept { return std::malloc(bytes); }
    static void deallocate(void* block, std::size_t) noexcept { std::free(block); }
  };
  static lane on(std::size_t) noexcept { return {}; }
};

class bench_mimalloc : public bench_yardstick {
 public:
  // libmimalloc.so is looked for once, where the system looks and beside the program.
  static bool is_installed();
  static const char* name() noexcept { return "mimalloc"; }
  // Throws bad_input where it is not installed.
  bench_mimalloc(const bench_stage&, std::size_t);
  struct lane {
    void* (*malloc_)(std::size_t) = nullptr;
    void (*free_)(void*) = nullptr;
    void* allocate(std::size_t bytes) const noexcept { return malloc_(bytes); }
    void deallocate(void* block, std::size_t) const noexcept { free_(block); }
  };
  lane on(std::size_t) const noexcept { return lane_; }

 private:
  lane lane_;
};

// Two calls that do nothing, made as those of an allocator in another library are.
class bench_floor : public bench_yardstick {
 public:
  static const char* name() noexcept { return "floor"; }
  bench_floor(const bench_stage&, std::size_t) noexcept {}
  struct lane {
    static void* allocate(std::size_t bytes) noexcept;
    static void deallocate(void* block, std::size_t bytes) noexcept;
  };
  static lane on(std::size_t) noexcept { return {}; }
};

// weir, weir-raw, native, direct, malloc, mimalloc, floor or plugin:FILE.so.
bool is_bench_allocator(const std::string& name);

// Calls `visit` with a function that makes the named allocator: `auto allocator = make(stream_count);`. The stage has
// as many streams.
template <class Visit>
void with_bench_allocator(const bench_stage& stage, const std::string& name, Visit&& visit) {
  const auto visit_as = [&]<class Allocator>() {
    if (name == Allocator::name()) visit([&](std::size_t stream_count) { return Allocator(stage, stream_count); });
  };
  visit_as.template operator()<bench_weir>();
  visit_as.template operator()<bench_weir_raw>();
  visit_as.template operator()<bench_native>();
  visit_as.template operator()<bench_direct>();
  visit_as.template operator()<bench_malloc>();
  visit_as.template operator()<bench_mimalloc>();
  visit_as.template operator()<bench_floor>();
  if (const auto path = plugin_path(name))
    visit([&](std::size_t stream_count) { return bench_plugin(stage, stream_count, *path); });
}

}  // namespace weir::cli
