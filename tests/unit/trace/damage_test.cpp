// SPDX-License-Identifier: Apache-2.0
//
// Valid traces, damaged at random: whatever comes of it, the reader answers with records and an end or a reason, in
// bounded time and memory, and touches nothing it may not (run under the sanitizers).
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>

#include "trace/binary_form.hpp"
#include "trace/gzip.hpp"
#include "unit/trace/trace_helpers.hpp"
#include "weir/trace/validator.hpp"

namespace weir::trace::test {

namespace {

class damager {
 public:
  explicit damager(std::uint64_t seed) : random_(seed) {}

  std::string operator()(std::string bytes) {
    for (std::uint64_t times = below(4) + 1; times > 0 && !bytes.empty(); --times) once(bytes);
    return bytes;
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  void once(std::string& bytes) {
    const std::size_t at = below(bytes.size());
    switch (below(6)) {
      case 0: bytes[at] = static_cast<char>(random_()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
      case 2: bytes.resize(at); break;
      case 3: bytes.erase(at, below(20)); break;
      case 4: bytes.insert(at, below(20), static_cast<char>(random_())); break;
      case 5: bytes.insert(at, bytes.substr(below(bytes.size()), below(200))); break;
    }
  }

  std::mt19937_64 random_;
};

// Reads to the end, with a validator beside, and keeps nothing.
std::uint64_t read_all(std::string_view bytes) {
  auto in = reader::open(std::as_bytes(std::span(bytes)));
  if (!in) return in.error().message().size();
  validator check;
  record r;
  std::uint64_t sum = 0;
  for (;;) {
    const auto more = in->next(r);
    if (!more) return sum + more.error().message().size();
    if (!*more) return sum;
    sum += r.text.size() + r.name.size() + r.bytes;
    if (const auto seen = check.observe(r); !seen)
      sum += in->refuse(file_error_kind::invalid, seen.error()).message().size();
  }
}

// The checksum keeps damage away from the decoder, so it is put right again: chunks of a stored trace.
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

constexpr int rounds = 5'000;

template <class Repair>
void damage_many(const std::string& whole, Repair repair) {
  const std::uint64_t seed = std::random_device{}();
  INFO("seed " << seed);
  damager damage(seed);
  std::uint64_t sum = 0;
  for (int i = 0; i < rounds; ++i) sum += read_all(repair(damage(whole)));
  CHECK(sum > 0);
}

std::string as_is(std::string bytes) { return bytes; }

std::string text_sample() {
  std::string text = "# trace v1 workload=demo device=\"NVIDIA H200\"\n# streams 0=0x0 1=0x10\n";
  for (int i = 0; i < 20; ++i) text += "a " + std::to_string(i) + " 4096 1\n# S " + std::to_string(i) + " 1 0\n";
  for (int i = 0; i < 20; ++i) text += "f " + std::to_string(i) + " 0\nc " + std::to_string(i) + "\n";
  return text;
}

}  // namespace

TEST_CASE("damaged trace: binary, stored, with right checksums") {
  damage_many(write_trace(every_kind(), {.compression = 0, .chunk_bytes = 64}), with_checksums);
}

TEST_CASE("damaged trace: binary, packed, with right checksums") {
  damage_many(write_trace(every_kind(), {.compression = 9}), with_checksums);
}

TEST_CASE("damaged trace: binary, as it is") { damage_many(write_trace(every_kind(), {.chunk_bytes = 64}), as_is); }

TEST_CASE("damaged trace: text") { damage_many(text_sample(), as_is); }

TEST_CASE("damaged trace: text in gzip") { damage_many(gzip(text_sample()), as_is); }

}  // namespace weir::trace::test
