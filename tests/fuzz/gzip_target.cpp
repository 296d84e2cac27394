// SPDX-License-Identifier: Apache-2.0
//
// Members of gzip, some of them damaged, unpacked by reads of odd sizes: what comes out is what went in, up to the
// first damage, and in pieces of any size the same. The first byte says whether the input is packed bytes as they are.
#include <span>
#include <zlib.h>

#include "fuzz/fuzz_input.hpp"
#include "trace/gzip.hpp"

namespace weir::fuzz {

namespace {

using namespace weir::trace;

std::string packed(std::string_view plain, int level) {
  z_stream stream{};
  require(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
  std::string bytes(deflateBound(&stream, plain.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib");
  bytes.resize(bytes.size() - stream.avail_out);
  deflateEnd(&stream);
  return bytes;
}

struct unpacked {
  std::string bytes;
  std::string failure;
};

unpacked unpack(std::string_view bytes, std::size_t step) {
  auto source = make_gzip_source(input(make_memory_source(std::as_bytes(std::span(bytes))), "memory"));
  unpacked got;
  std::string piece(step, '\0');
  for (;;) {
    const auto count = source->read(piece);
    if (!count) got.failure = count.error().message();
    if (!count || *count == 0) break;
    require(*count <= step, "more than was asked for");
    got.bytes.append(piece, 0, *count);
    if (got.bytes.size() > std::size_t{1} << 20) break;  // a bomb unpacks in bounded memory, but not in bounded time
  }
  if (!got.failure.empty()) require(!source->read(piece).has_value(), "a source changed its mind");
  return got;
}

struct packed_input {
  std::string bytes, plain;
  bool is_whole = true;
};

packed_input members_of(fuzz_input& in) {
  packed_input all;
  while (!in.is_empty()) {
    const std::uint8_t how = in.byte();
    std::string plain(in.take(in.byte()));
    for (unsigned i = 0; i < how / 32u; ++i) plain += plain;  // longer than a read, sometimes than a buffer
    std::string member = packed(plain, how % 3 * 4);
    const bool is_cut = how % 8 == 7;
    if (is_cut) member.resize(member.size() * in.byte() / 256);
    if (all.is_whole && !is_cut) all.plain += plain;
    all.is_whole = all.is_whole && !is_cut;
    all.bytes += member;
  }
  return all;
}

void check_members(fuzz_input& in) {
  const std::size_t step = 1 + in.number(2) % 40'000;
  const packed_input all = members_of(in);
  if (all.bytes.empty()) return;
  const unpacked got = unpack(all.bytes, step);
  if (all.is_whole) require(got.failure.empty() && got.bytes == all.plain, "whole members are not unpacked");
  require(got.bytes.starts_with(all.plain) || got.bytes.size() > std::size_t{1} << 20, "what precedes damage is lost");
}

void check_raw(fuzz_input& in) {
  const std::size_t step = 1 + in.number(2) % 40'000;
  const std::string bytes(in.rest());
  const unpacked a = unpack(bytes, step), b = unpack(bytes, 512);
  if (a.bytes.size() <= std::size_t{1} << 20)
    if (a.bytes != b.bytes || a.failure != b.failure)
      fail("the size of a read makes a difference: " + std::to_string(a.bytes.size()) + " bytes, " + a.failure + "; " +
           std::to_string(b.bytes.size()) + " bytes, " + b.failure);
}

void check_chunk(fuzz_input& in) {
  std::string raw(in.number(2), '\0');
  (void)inflate_chunk(in.rest(), raw);
}

}  // namespace

}  // namespace weir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace weir::fuzz;
  fuzz_input in(data, bytes);
  switch (in.below(3)) {
    case 0: check_raw(in); break;
    case 1: check_members(in); break;
    default: check_chunk(in);
  }
  return 0;
}
