// SPDX-License-Identifier: Apache-2.0
#include "core/size_class.hpp"

#include <catch2/catch_test_macros.hpp>

using weir::core::class_bytes;
using weir::core::class_count;
using weir::core::class_of;
using weir::core::size_class;

TEST_CASE("size class: the smallest is 256 bytes and serves every size up to it") {
  for (std::size_t bytes = 1; bytes <= 256; ++bytes) REQUIRE(class_bytes(class_of(bytes)) == 256);
  CHECK(class_bytes(class_of(257)) == 512);
}

TEST_CASE("size class: the largest is the largest small block") {
  CHECK(class_of(weir::core::small_bytes_max) == class_count - 1);
  CHECK(class_bytes(class_count - 1) == weir::core::small_bytes_max);
}

TEST_CASE("size class: sizes grow with the index, by at most an eighth from 2 KiB on") {
  for (unsigned i = 1; i < class_count; ++i) {
    REQUIRE(class_bytes(i) > class_bytes(i - 1));
    if (class_bytes(i - 1) >= 2048) REQUIRE((class_bytes(i) - class_bytes(i - 1)) * 8 <= class_bytes(i - 1));
  }
}

TEST_CASE("size class: each size has the smallest class that holds it") {
  for (std::size_t bytes = 1; bytes <= weir::core::small_bytes_max; bytes += bytes < 8192 ? 1 : 61) {
    const size_class index = class_of(bytes);
    REQUIRE(class_bytes(index) >= bytes);
    if (index > 0) REQUIRE(class_bytes(index - 1u) < bytes);
  }
}

TEST_CASE("size class: a multiple of an alignment has a class that is one too") {
  for (std::size_t alignment = 512; alignment <= 16 * 1024; alignment *= 2)
    for (std::size_t bytes = alignment; bytes <= weir::core::small_bytes_max; bytes += alignment)
      REQUIRE(class_bytes(class_of(bytes)) % alignment == 0);
}
