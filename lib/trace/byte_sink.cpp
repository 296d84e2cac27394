// SPDX-License-Identifier: Apache-2.0
#include "trace/byte_sink.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <ostream>
#include <system_error>
#include <utility>

namespace weir::trace {

namespace {

class file_sink final : public byte_sink {
 public:
  file_sink(std::FILE* file, std::string name) : file_(file), name_(std::move(name)) {}
  ~file_sink() override {
    if (file_) std::fclose(file_);
  }
  file_sink(const file_sink&) = delete;
  file_sink& operator=(const file_sink&) = delete;

  result<void, file_error> write(std::string_view bytes) override {
    errno = 0;
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) return refuse();
    offset_ += bytes.size();
    return {};
  }
  result<void, file_error> flush() override {
    errno = 0;
    if (std::fflush(file_) != 0) return refuse();
    return {};
  }
  result<void, file_error> close() override {
    errno = 0;
    if (std::fclose(std::exchange(file_, nullptr)) != 0) return refuse();
    return {};
  }

 private:
  file_error refuse() const {
    return {file_error_kind::io, name_, position_unit::byte, offset_,
            "cannot be written: " + std::generic_category().message(errno)};
  }

  std::FILE* file_;
  std::string name_;
  std::uint64_t offset_ = 0;
};

class stream_sink final : public byte_sink {
 public:
  stream_sink(std::ostream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

  result<void, file_error> write(std::string_view bytes) override {
    stream_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    offset_ += bytes.size();
    return answer();
  }
  result<void, file_error> flush() override {
    stream_.flush();
    return answer();
  }
  result<void, file_error> close() override { return flush(); }

 private:
  result<void, file_error> answer() const {
    if (stream_.good()) return {};
    return file_error{file_error_kind::io, name_, position_unit::byte, offset_, "cannot be written"};
  }

  std::ostream& stream_;
  std::string name_;
  std::uint64_t offset_ = 0;
};

}  // namespace

result<std::unique_ptr<byte_sink>, file_error> create_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file) {
    return file_error{file_error_kind::io, path, position_unit::byte, 0,
                      "cannot be created: " + std::generic_category().message(errno)};
  }
  return std::unique_ptr<byte_sink>(std::make_unique<file_sink>(file, path));
}

std::unique_ptr<byte_sink> make_stream_sink(std::ostream& stream, std::string name) {
  return std::make_unique<stream_sink>(stream, std::move(name));
}

}  // namespace weir::trace
