// SPDX-License-Identifier: Apache-2.0
#include "weir/error.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "weir/memory_report.hpp"

namespace weir {

const char* to_string(errc code) noexcept {
  switch (code) {
    case errc::ok: return "no error";
    case errc::out_of_memory: return "out of memory";
    case errc::no_cuda_device: return "no CUDA device";
    case errc::built_without_cuda: return "built without CUDA";
    case errc::no_such_device: return "no such device";
    case errc::device_lost: return "the device is lost to an earlier error";
    case errc::driver_unloading: return "the CUDA runtime is unloading";
    case errc::cuda: return "CUDA error";
    case errc::not_supported: return "not supported";
    case errc::stream_capturing: return "the stream is being captured";
    case errc::invalid_argument: return "invalid argument";
    case errc::invalid_alignment: return "invalid alignment";
    case errc::invalid_size: return "invalid size";
    case errc::null_pool: return "null pool";
    case errc::foreign_pointer: return "foreign pointer";
    case errc::double_free: return "double free";
    case errc::size_mismatch: return "size mismatch";
    case errc::wrong_device: return "wrong device";
    case errc::stream_retired: return "the stream is retired";
    case errc::stream_unsupported: return "unsupported stream";
    case errc::limit_below_live: return "limit below live memory";
    case errc::forked: return "used after fork";
    case errc::internal: return "internal error";
  }
  return "unknown error";
}

bool is_bug(errc code) noexcept {
  switch (code) {
    case errc::invalid_argument:
    case errc::invalid_alignment:
    case errc::invalid_size:
    case errc::null_pool:
    case errc::foreign_pointer:
    case errc::double_free:
    case errc::size_mismatch:
    case errc::wrong_device:
    case errc::stream_retired:
    case errc::stream_unsupported:
    case errc::limit_below_live:
    case errc::forked:
    case errc::internal: return true;
    default: return false;
  }
}

namespace {

std::string number(std::size_t n) { return std::to_string(n); }

// The sentence after the code's phrase: values, limit, what to do.
std::string details(const error& e) {
  switch (e.code) {
    case errc::out_of_memory:
      return ": " + number(e.bytes) + " bytes asked for, " + number(e.limit) + " could be had" +
             (e.report ? "; " + e.report->summary() : std::string());
    case errc::no_such_device:
      return ": device " + std::to_string(static_cast<std::ptrdiff_t>(e.bytes)) + " of " + number(e.limit);
    case errc::device_lost:
    case errc::cuda: return e.native_code ? " " + number(static_cast<std::size_t>(e.native_code)) : "";
    case errc::stream_capturing: return "; allocate inside a capture scope, or before the capture begins";
    case errc::invalid_alignment: return ": " + number(e.bytes) + " is no power of two from 1 to " + number(e.limit);
    case errc::invalid_size: return ": " + number(e.bytes) + " bytes, at most " + number(e.limit);
    case errc::size_mismatch: return ": " + number(e.bytes) + " bytes given, the block has " + number(e.limit);
    case errc::limit_below_live:
      return ": " + number(e.bytes) + " bytes asked for, " + number(e.limit) + " are in use; free some first";
    case errc::not_supported:
      if (e.native_code) return ": CUDA answers " + number(static_cast<std::size_t>(e.native_code));
      return e.detail ? ": " + *e.detail : "";
    default: return e.detail ? ": " + *e.detail : "";
  }
}

void write_and_abort(const error& e) noexcept {
  std::fprintf(stderr, "weir: %s\n", e.message().c_str());
  std::abort();
}

std::atomic<bug_handler> installed_handler{nullptr};

}  // namespace

std::string error::message() const {
  std::string text;
  if (what) text.append(what).append(": ");
  return text + to_string(code) + details(*this);
}

out_of_memory::out_of_memory(weir::error e)
    : error_(std::move(e)), message_(std::make_shared<const std::string>(error_.message())) {}
out_of_memory::~out_of_memory() = default;
const char* out_of_memory::what() const noexcept { return message_->c_str(); }

cuda_error::cuda_error(weir::error e) : std::runtime_error(e.message()), error_(std::move(e)) {}
cuda_error::~cuda_error() = default;

logic_error::logic_error(weir::error e) : std::logic_error(e.message()), error_(std::move(e)) {}
logic_error::~logic_error() = default;

void raise(error e) {
  if (e.code == errc::out_of_memory) throw out_of_memory(std::move(e));
  if (is_bug(e.code)) throw logic_error(std::move(e));
  throw cuda_error(std::move(e));
}

bug_handler set_bug_handler(bug_handler handler) noexcept { return installed_handler.exchange(handler); }

void report_bug(const error& e) noexcept {
  const bug_handler handler = installed_handler.load();
  handler ? handler(e) : write_and_abort(e);
}

}  // namespace weir
