// SPDX-License-Identifier: Apache-2.0
//
// A binary trace. Checksums would keep damage away from the decoder, so they are put right: either those of a file
// given whole, or the input says what is in each chunk and the frame is built around that.
#include <algorithm>

#include "fuzz/fuzz_input.hpp"
#include "fuzz/trace_oracle.hpp"
#include "trace/binary_form.hpp"
#include "trace/gzip.hpp"
#include "trace/varint.hpp"

namespace weir::fuzz {

namespace {

using namespace weir::trace;

std::string with_checksums(std::string bytes) {
  if (bytes.size() >= file_header_bytes) store_u32(bytes.data() + 12, crc32_of({bytes.data(), 12}));
  std::size_t at = file_header_bytes;
  while (at + chunk_header_bytes <= bytes.size()) {
    const std::size_t stored = load_u32(bytes.data() + at + 8);
    const std::size_t length = std::min(stored, bytes.size() - at - chunk_header_bytes);
    const std::string_view all(bytes);
    store_u32(bytes.data() + at + 16, crc32_of(all.substr(at + 4, 12), all.substr(at + chunk_header_bytes, length)));
    at += chunk_header_bytes + length;
  }
  return bytes;
}

std::string header() {
  std::string bytes(binary_magic);
  bytes.resize(file_header_bytes);
  store_u16(bytes.data() + 8, version_major);
  return bytes;
}

std::string chunk(unsigned type, unsigned encoding, std::size_t raw_bytes, std::string_view payload) {
  std::string bytes(chunk_magic);
  bytes.resize(chunk_header_bytes);
  bytes[4] = static_cast<char>(type);
  bytes[5] = static_cast<char>(encoding);
  store_u32(bytes.data() + 8, static_cast<std::uint32_t>(payload.size()));
  store_u32(bytes.data() + 12, static_cast<std::uint32_t>(raw_bytes));
  return bytes + std::string(payload);
}

// A record chunk stored, one packed, one whose payload is taken for packed, one of another type or encoding.
std::string next_chunk(fuzz_input& in) {
  const std::uint8_t how = in.byte();
  const std::string_view payload = in.take(in.number(2) % 1024);
  switch (how % 4) {
    case 0: return chunk(1, 0, payload.size(), payload);
    case 1: {
      const std::string packed = deflate_chunk(payload, 1);
      return packed.empty() ? chunk(1, 0, payload.size(), payload) : chunk(1, 1, payload.size(), packed);
    }
    case 2: return chunk(1, 1, in.number(2), payload);
    default: return chunk(how / 4 % 8, how / 32 % 4, payload.size(), payload);
  }
}

std::string built(fuzz_input& in, bool ends) {
  std::string bytes = header();
  while (!in.is_empty()) bytes += next_chunk(in);
  bytes = with_checksums(std::move(bytes));
  if (!ends) return bytes;
  const reading got = read_all(bytes);
  std::string count;
  put_varint(count, got.facts.size() + got.records.size() + got.skipped);
  return with_checksums(bytes + chunk(2, 0, count.size(), count));
}

}  // namespace

}  // namespace weir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace weir::fuzz;
  fuzz_input in(data, bytes);
  const std::uint8_t how = in.byte();
  if (how % 4 == 0)
    check_trace(with_checksums(std::string(in.rest())));
  else
    check_trace(built(in, how % 4 != 1));
  return 0;
}
