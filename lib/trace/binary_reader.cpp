// SPDX-License-Identifier: Apache-2.0
//
// One chunk at a time is checked, unpacked and decoded; the two buffers are all the memory there is. Lengths are
// compared with chunk_bytes_max before anything is allocated for them.
#include <utility>
#include <vector>

#include "trace/binary_form.hpp"
#include "trace/gzip.hpp"
#include "trace/record_codec.hpp"
#include "trace/record_source.hpp"

namespace weir::trace {

namespace {

struct chunk_header {
  chunk_type type{};
  chunk_encoding encoding{};
  std::uint32_t stored_bytes = 0;
  std::uint32_t raw_bytes = 0;
  std::uint32_t crc = 0;
};

chunk_header parse_chunk_header(const char* from) {
  return {static_cast<chunk_type>(from[4]), static_cast<chunk_encoding>(from[5]), load_u32(from + 8),
          load_u32(from + 12), load_u32(from + 16)};
}

// Null, or what is wrong with it by itself.
const char* fault_of(const chunk_header& h, std::string_view bytes) {
  if (!bytes.starts_with(chunk_magic)) return "no chunk begins here";
  if (load_u16(bytes.data() + 6) != 0) return "a chunk of a later version";
  if (h.raw_bytes > chunk_bytes_max) return "a chunk claims to unpack to more than 1 MiB";
  if (h.stored_bytes > chunk_bytes_max) return "a chunk claims more than 1 MiB";
  return nullptr;
}

class binary_source final : public record_source {
 public:
  explicit binary_source(input bytes) : in_(std::move(bytes)) {}

  result<bool, file_error> next(record& r) override {
    if (!header_read_) {
      if (auto done = read_file_header(); !done) return done.error();
    }
    for (;;) {
      while (records_.left() == 0) {
        auto more = next_chunk();
        if (!more || !*more) return more;
      }
      record_at_ = records_.position();
      const char* why = nullptr;
      switch (decode_record(records_, context_, r, why)) {
        case decoded::record: ++records_read_; return true;
        case decoded::skipped: ++records_read_, ++skipped_; break;
        case decoded::malformed: return refuse(file_error_kind::malformed, why);
      }
    }
  }

  // A stored chunk's record has a place in the file. One in a packed chunk is told by the chunk's place and its own.
  file_error refuse(file_error_kind kind, std::string reason) const override {
    if (!packed_) return at(kind, chunk_at_ + chunk_header_bytes + record_at_, std::move(reason));
    return at(kind, chunk_at_,
              std::move(reason) + " (byte " + std::to_string(record_at_) + " of this chunk, unpacked)");
  }
  std::uint64_t skipped() const override { return skipped_; }
  const input& bytes() const override { return in_; }

 private:
  file_error at(file_error_kind kind, std::uint64_t position, std::string reason) const {
    return {kind, in_.name(), position_unit::byte, position, std::move(reason)};
  }
  file_error cut(std::uint64_t position, const char* what) const {
    return at(file_error_kind::truncated, position, std::string("the file is cut: ") + what);
  }

  result<void, file_error> read_file_header() {
    header_read_ = true;
    char header[file_header_bytes];
    const auto got = in_.read(header, sizeof header);
    if (!got) return got.error();
    if (*got < sizeof header) return cut(*got, "its header is not whole");
    if (crc32_of({header, 12}) != load_u32(header + 12)) {
      return at(file_error_kind::malformed, 0, "the checksum of the header does not match");
    }
    const std::uint16_t major = load_u16(header + 8);
    if (major == version_major) return {};
    return at(file_error_kind::unsupported, 8,
              "the format's version is " + std::to_string(major) + ", this reads " + std::to_string(version_major));
  }

  // Makes `records_` the next chunk's; false after the end marker.
  result<bool, file_error> next_chunk() {
    records_ = cursor({});
    record_at_ = 0;
    chunk_at_ = in_.position();
    char bytes[chunk_header_bytes];
    const auto got = in_.read(bytes, sizeof bytes);
    if (!got) return got.error();
    if (*got == 0) return cut(chunk_at_, "there is no end marker");
    if (*got < sizeof bytes) return cut(chunk_at_, "a chunk's header is not whole");
    const chunk_header header = parse_chunk_header(bytes);
    if (const char* why = fault_of(header, {bytes, sizeof bytes}))
      return at(file_error_kind::malformed, chunk_at_, why);
    if (auto done = read_payload(header, {bytes, sizeof bytes}); !done) return done.error();
    return use_chunk(header);
  }

  result<void, file_error> read_payload(const chunk_header& header, std::string_view bytes) {
    stored_.resize(header.stored_bytes);
    const auto got = in_.read(stored_.data(), stored_.size());
    if (!got) return got.error();
    if (*got < stored_.size()) return cut(chunk_at_, "its last chunk is not whole");
    if (crc32_of(bytes.substr(4, chunk_crc_offset - 4), stored_) == header.crc) return {};
    return at(file_error_kind::malformed, chunk_at_, "the checksum of this chunk does not match");
  }

  result<bool, file_error> use_chunk(const chunk_header& header) {
    if (auto done = unpack(header); !done) return done.error();
    if (header.type == chunk_type::end) return finish();
    if (header.type == chunk_type::records) records_ = cursor(raw_);
    context_ = {};
    return true;
  }

  result<void, file_error> unpack(const chunk_header& header) {
    packed_ = header.encoding == chunk_encoding::deflate;
    if (header.encoding == chunk_encoding::stored) {
      if (header.raw_bytes != header.stored_bytes) {
        return at(file_error_kind::malformed, chunk_at_, "a stored chunk of two lengths");
      }
      raw_.swap(stored_);
      return {};
    }
    if (!packed_) return at(file_error_kind::malformed, chunk_at_, "a chunk of unknown encoding");
    raw_.resize(header.raw_bytes);
    if (inflate_chunk(stored_, raw_)) return {};
    return at(file_error_kind::malformed, chunk_at_, "a chunk does not unpack to the length it claims");
  }

  // The end marker counts the records, so that chunks missing in between are noticed.
  result<bool, file_error> finish() {
    cursor marker(raw_);
    std::uint64_t count = 0;
    if (!marker.varint(count)) return refuse(file_error_kind::malformed, "the end marker is damaged");
    if (count != records_read_) {
      return refuse(file_error_kind::malformed, "the end marker counts " + std::to_string(count) +
                                                    " records, the file holds " + std::to_string(records_read_));
    }
    const std::uint64_t end = in_.position();
    const auto rest = in_.peek(1);
    if (!rest) return rest.error();
    if (!rest->empty()) return at(file_error_kind::malformed, end, "bytes after the end marker");
    return false;
  }

  input in_;
  std::string stored_;
  std::string raw_;
  cursor records_{{}};
  codec_context context_;
  bool header_read_ = false;
  bool packed_ = false;
  std::uint64_t chunk_at_ = 0;
  std::size_t record_at_ = 0;
  std::uint64_t records_read_ = 0;
  std::uint64_t skipped_ = 0;
};

}  // namespace

std::unique_ptr<record_source> make_binary_source(input bytes) {
  return std::make_unique<binary_source>(std::move(bytes));
}

}  // namespace weir::trace
