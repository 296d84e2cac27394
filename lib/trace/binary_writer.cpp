// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "trace/binary_form.hpp"
#include "trace/gzip.hpp"
#include "trace/record_codec.hpp"
#include "trace/record_sink.hpp"

namespace weir::trace {

namespace {

// A chunk is closed once it passes chunk_bytes; the record that takes it there is under two texts and a few numbers.
constexpr std::size_t chunk_target_max = chunk_bytes_max / 2;
static_assert(chunk_target_max + 2 * text_bytes_max + 256 <= chunk_bytes_max);

std::string file_header() {
  std::string header(binary_magic);
  header.resize(file_header_bytes);
  store_u16(header.data() + 8, version_major);
  store_u16(header.data() + 10, version_minor);
  store_u32(header.data() + 12, crc32_of({header.data(), 12}));
  return header;
}

// The whole chunk in one string, so that one write puts it into the file.
std::string make_chunk(chunk_type type, std::string_view raw, int level) {
  const std::string packed = deflate_chunk(raw, level);
  const bool deflated = !packed.empty() && packed.size() < raw.size();
  const std::string_view stored = deflated ? std::string_view(packed) : raw;
  std::string chunk(chunk_header_bytes, '\0');
  std::copy(chunk_magic.begin(), chunk_magic.end(), chunk.begin());
  chunk[4] = static_cast<char>(type);
  chunk[5] = static_cast<char>(deflated ? chunk_encoding::deflate : chunk_encoding::stored);
  store_u32(chunk.data() + 8, static_cast<std::uint32_t>(stored.size()));
  store_u32(chunk.data() + 12, static_cast<std::uint32_t>(raw.size()));
  store_u32(chunk.data() + 16, crc32_of(std::string_view(chunk).substr(4, chunk_crc_offset - 4), stored));
  chunk += stored;
  return chunk;
}

class binary_sink final : public record_sink {
 public:
  binary_sink(std::unique_ptr<byte_sink> out, const writer_options& options)
      : out_(std::move(out)),
        level_(options.compression),
        chunk_bytes_(std::min(options.chunk_bytes, chunk_target_max)) {}

  result<void, file_error> write(const record& r) override {
    encode_record(r, context_, raw_);
    ++count_;
    return raw_.size() < chunk_bytes_ ? result<void, file_error>() : flush();
  }
  result<void, file_error> flush() override {
    if (auto done = write_chunk(); !done) return done;
    return out_->flush();
  }
  result<void, file_error> finish() override {
    if (auto done = write_chunk(); !done) return done;
    std::string marker;
    put_varint(marker, count_);
    if (auto done = out_->write(make_chunk(chunk_type::end, marker, 0)); !done) return done;
    return out_->close();
  }

 private:
  result<void, file_error> write_chunk() {
    if (!std::exchange(header_written_, true)) {
      if (auto done = out_->write(file_header()); !done) return done;
    }
    if (raw_.empty()) return {};
    const std::string chunk = make_chunk(chunk_type::records, raw_, level_);
    raw_.clear();
    context_ = {};
    return out_->write(chunk);
  }

  std::unique_ptr<byte_sink> out_;
  int level_;
  std::size_t chunk_bytes_;
  std::string raw_;
  codec_context context_;
  std::uint64_t count_ = 0;
  bool header_written_ = false;
};

}  // namespace

std::unique_ptr<record_sink> make_binary_sink(std::unique_ptr<byte_sink> out, const writer_options& options) {
  return std::make_unique<binary_sink>(std::move(out), options);
}

}  // namespace weir::trace
