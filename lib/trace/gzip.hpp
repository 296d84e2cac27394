// SPDX-License-Identifier: Apache-2.0
//
// gzip around a source or a sink, and deflate of single chunks.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "trace/byte_sink.hpp"
#include "trace/byte_source.hpp"
#include "trace/input.hpp"

namespace weir::trace {

inline constexpr std::string_view gzip_magic = "\x1f\x8b";

// Unpacks one or more gzip members. What could be unpacked before an error is given first. offset() and total() are
// those of the packed file, and errors carry them.
std::unique_ptr<byte_source> make_gzip_source(input packed);
std::unique_ptr<byte_sink> make_gzip_sink(std::unique_ptr<byte_sink> packed, int level);

// Raw deflate of one chunk; empty where that would not be smaller.
std::string deflate_chunk(std::string_view raw, int level);
// Fills `raw` exactly, or answers false.
bool inflate_chunk(std::string_view packed, std::span<char> raw);
unsigned crc32_of(std::string_view head, std::string_view body = {});

}  // namespace weir::trace
