// SPDX-License-Identifier: Apache-2.0
#include "trace/byte_source.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <istream>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace weir::trace {

namespace {

file_error io_error(const std::string& file, std::uint64_t offset, std::string reason) {
  return {file_error_kind::io, file, position_unit::byte, offset, std::move(reason)};
}

struct close_file {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

class file_source final : public byte_source {
 public:
  file_source(std::FILE* file, std::string name) : file_(file), name_(std::move(name)) {
    struct stat status {};
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode))
      total_ = static_cast<std::uint64_t>(status.st_size);
  }

  result<std::size_t, file_error> read(std::span<char> to) override {
    errno = 0;
    const std::size_t got = std::fread(to.data(), 1, to.size(), file_.get());
    if (got == 0 && std::ferror(file_.get())) {
      return io_error(name_, offset_, "cannot be read: " + std::generic_category().message(errno));
    }
    offset_ += got;
    return got;
  }
  std::uint64_t offset() const override { return offset_; }
  std::uint64_t total() const override { return total_; }

 private:
  std::unique_ptr<std::FILE, close_file> file_;
  std::string name_;
  std::uint64_t offset_ = 0;
  std::uint64_t total_ = 0;
};

class memory_source final : public byte_source {
 public:
  explicit memory_source(std::span<const std::byte> bytes) : bytes_(bytes) {}

  result<std::size_t, file_error> read(std::span<char> to) override {
    const std::size_t count = std::min(to.size(), bytes_.size() - offset_);
    if (count != 0) std::memcpy(to.data(), bytes_.data() + offset_, count);
    offset_ += count;
    return count;
  }
  std::uint64_t offset() const override { return offset_; }
  std::uint64_t total() const override { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  std::size_t offset_ = 0;
};

class stream_source final : public byte_source {
 public:
  stream_source(std::istream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

  result<std::size_t, file_error> read(std::span<char> to) override {
    if (!stream_.good()) return std::size_t{0};
    stream_.read(to.data(), static_cast<std::streamsize>(to.size()));
    if (stream_.bad()) return io_error(name_, offset_, "cannot be read");
    const auto count = static_cast<std::size_t>(stream_.gcount());
    offset_ += count;
    return count;
  }
  std::uint64_t offset() const override { return offset_; }
  std::uint64_t total() const override { return 0; }

 private:
  std::istream& stream_;
  std::string name_;
  std::uint64_t offset_ = 0;
};

}  // namespace

result<std::unique_ptr<byte_source>, file_error> open_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) return io_error(path, 0, "cannot be opened: " + std::generic_category().message(errno));
  return std::unique_ptr<byte_source>(std::make_unique<file_source>(file, path));
}

std::unique_ptr<byte_source> make_memory_source(std::span<const std::byte> bytes) {
  return std::make_unique<memory_source>(bytes);
}

std::unique_ptr<byte_source> make_stream_source(std::istream& stream, std::string name) {
  return std::make_unique<stream_source>(stream, std::move(name));
}

}  // namespace weir::trace
