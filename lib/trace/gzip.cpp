// SPDX-License-Identifier: Apache-2.0
#include "trace/gzip.hpp"

#include <optional>
#include <utility>
#include <vector>
#include <zlib.h>

namespace weir::trace {

namespace {

constexpr int gzip_window = 15 + 16;  // zlib's way to ask for a gzip header
constexpr int raw_window = -15;
constexpr std::size_t step_bytes = 16 << 10;

Bytef* bytes_of(const char* text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text)); }

class gzip_source final : public byte_source {
 public:
  explicit gzip_source(input packed) : packed_(std::move(packed)) { inflateInit2(&stream_, gzip_window); }
  ~gzip_source() override { inflateEnd(&stream_); }
  gzip_source(const gzip_source&) = delete;
  gzip_source& operator=(const gzip_source&) = delete;

  result<std::size_t, file_error> read(std::span<char> to) override {
    if (failure_) return *failure_;
    if (to.empty()) return std::size_t{0};
    stream_.next_out = bytes_of(to.data());
    stream_.avail_out = static_cast<uInt>(to.size());
    while (stream_.avail_out == to.size() && !done_) {
      if (auto why = advance()) {
        failure_ = std::move(why);
        break;
      }
    }
    const std::size_t count = to.size() - stream_.avail_out;
    if (count == 0 && failure_) return *failure_;
    return count;
  }
  std::uint64_t offset() const override { return packed_.source().offset(); }
  std::uint64_t total() const override { return packed_.source().total(); }

 private:
  file_error refuse(file_error_kind kind, std::string reason) const {
    return {kind, packed_.name(), position_unit::byte, packed_.position(), std::move(reason)};
  }

  // One call of inflate. Between members it looks whether another begins.
  std::optional<file_error> advance() {
    auto some = packed_.peek(step_bytes);
    if (!some) return some.error();
    if (between_members_) return next_member(*some);
    // Without input too: zlib may hold output that the read before had no room for.
    const uInt room = stream_.avail_out;
    stream_.next_in = bytes_of(some->data());
    stream_.avail_in = static_cast<uInt>(some->size());
    const int code = inflate(&stream_, Z_NO_FLUSH);
    packed_.consume(some->size() - stream_.avail_in);
    if (code == Z_STREAM_END) {
      between_members_ = true;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return refuse(file_error_kind::malformed,
                    std::string("the gzip data is damaged: ") + (stream_.msg ? stream_.msg : "zlib cannot unpack it"));
    } else if (some->empty() && stream_.avail_out == room) {
      return refuse(file_error_kind::truncated, "the gzip data ends before its end: the file is cut");
    }
    return std::nullopt;
  }

  std::optional<file_error> next_member(std::string_view rest) {
    if (rest.empty()) {
      done_ = true;
      return std::nullopt;
    }
    if (!rest.starts_with(gzip_magic))
      return refuse(file_error_kind::malformed, "bytes after the end of the gzip data");
    inflateReset(&stream_);
    between_members_ = false;
    return std::nullopt;
  }

  input packed_;
  z_stream stream_{};
  bool between_members_ = false;
  bool done_ = false;
  std::optional<file_error> failure_;
};

class gzip_sink final : public byte_sink {
 public:
  gzip_sink(std::unique_ptr<byte_sink> packed, int level) : packed_(std::move(packed)), buffer_(64 << 10) {
    deflateInit2(&stream_, level, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY);
  }
  ~gzip_sink() override { deflateEnd(&stream_); }
  gzip_sink(const gzip_sink&) = delete;
  gzip_sink& operator=(const gzip_sink&) = delete;

  result<void, file_error> write(std::string_view bytes) override { return pack(bytes, Z_NO_FLUSH); }
  result<void, file_error> flush() override {
    if (auto done = pack({}, Z_SYNC_FLUSH); !done) return done;
    return packed_->flush();
  }
  result<void, file_error> close() override {
    if (auto done = pack({}, Z_FINISH); !done) return done;
    return packed_->close();
  }

 private:
  result<void, file_error> pack(std::string_view bytes, int flush) {
    stream_.next_in = bytes_of(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = bytes_of(buffer_.data());
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      deflate(&stream_, flush);
      const std::size_t count = buffer_.size() - stream_.avail_out;
      if (auto done = packed_->write({buffer_.data(), count}); !done) return done;
    } while (stream_.avail_out == 0);
    return {};
  }

  std::unique_ptr<byte_sink> packed_;
  std::vector<char> buffer_;
  z_stream stream_{};
};

}  // namespace

std::unique_ptr<byte_source> make_gzip_source(input packed) { return std::make_unique<gzip_source>(std::move(packed)); }

std::unique_ptr<byte_sink> make_gzip_sink(std::unique_ptr<byte_sink> packed, int level) {
  return std::make_unique<gzip_sink>(std::move(packed), level);
}

std::string deflate_chunk(std::string_view raw, int level) {
  z_stream stream{};
  if (level == 0 || deflateInit2(&stream, level, Z_DEFLATED, raw_window, 9, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string packed(raw.size(), '\0');
  stream.next_in = bytes_of(raw.data());
  stream.avail_in = static_cast<uInt>(raw.size());
  stream.next_out = bytes_of(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int code = deflate(&stream, Z_FINISH);
  packed.resize(code == Z_STREAM_END ? packed.size() - stream.avail_out : 0);
  deflateEnd(&stream);
  return packed;
}

bool inflate_chunk(std::string_view packed, std::span<char> raw) {
  z_stream stream{};
  if (inflateInit2(&stream, raw_window) != Z_OK) return false;
  stream.next_in = bytes_of(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = bytes_of(raw.data());
  stream.avail_out = static_cast<uInt>(raw.size());
  const int code = inflate(&stream, Z_FINISH);
  const bool exact = code == Z_STREAM_END && stream.avail_out == 0 && stream.avail_in == 0;
  inflateEnd(&stream);
  return exact;
}

unsigned crc32_of(std::string_view head, std::string_view body) {
  const uLong first = crc32(0, bytes_of(head.data()), static_cast<uInt>(head.size()));
  return static_cast<unsigned>(body.empty() ? first
                                            : crc32(first, bytes_of(body.data()), static_cast<uInt>(body.size())));
}

}  // namespace weir::trace
