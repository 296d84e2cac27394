// SPDX-License-Identifier: Apache-2.0
//
// Single lines of the text form, both ways. What a line may be is decided in one place, so that nothing a binary trace
// holds can turn into another kind of line when it is written as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/result.hpp"
#include "weir/trace/reader.hpp"
#include "weir/trace/record.hpp"

namespace weir::trace {

enum class line_kind {
  blank,
  header,   // # trace v1 key=value …
  streams,  // # streams number=name …
  event,    // a, f, c, and the comments # S, # s and # O
  comment,
  unknown,
};

// By the first words alone; an event may still turn out malformed. A comment becomes an event or a header only where a
// digit follows its word, so that "# S-shaped" stays a comment.
line_kind classify_line(std::string_view line) noexcept;

// Each answers the reason where the line is malformed.
result<std::vector<fact>, std::string> parse_header(std::string_view line);
result<std::vector<record>, std::string> parse_streams(std::string_view line);  // text points into the line
result<record, std::string> parse_event(std::string_view line);

// `# trace v1` and the facts that fit_header; no newline.
std::string render_header(const std::vector<fact>&);
bool fits_header(const fact&) noexcept;
// "7=0x0": a word of the streams line. The name must be of printable characters without space: fits_word.
bool fits_word(std::string_view) noexcept;
// Appends the line of an allocate, live, deallocate, reusable, failure, native_allocate or native_deallocate.
void append_event(std::string& out, const record&);

}  // namespace weir::trace
