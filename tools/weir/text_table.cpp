// SPDX-License-Identifier: Apache-2.0
#include "text_table.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace weir::cli {
namespace {

constexpr std::size_t gap = 2;

// Characters, not bytes: every byte of UTF-8 but continuations begins one.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

void trim_end(std::string& text) { text.erase(text.find_last_not_of(' ') + 1); }

}  // namespace

std::vector<std::size_t> text_table::widths() const {
  std::vector<std::size_t> widths;
  for (const column& c : columns_) widths.push_back(width_of(c.title));
  for (const auto& cells : rows_)
    for (std::size_t i = 0; cells.size() == columns_.size() && i < cells.size(); ++i)
      widths[i] = std::max(widths[i], width_of(cells[i]));
  return widths;
}

std::string text_table::line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - width_of(cells[i]), ' ');
    if (i > 0) text.append(gap, ' ');
    text += columns_[i].align == side::left ? cells[i] + padding : padding + cells[i];
  }
  trim_end(text);
  return text + '\n';
}

// The groups' names, each over the left end of its columns and followed by a rule to their right end.
std::string text_table::group_line(const std::vector<std::size_t>& widths) const {
  std::string text;
  for (std::size_t i = 0; i < columns_.size();) {
    const std::string& group = columns_[i].group;
    std::size_t width = widths[i];
    std::size_t end = i + 1;
    for (; end < columns_.size() && columns_[end].group == group; ++end) width += gap + widths[end];
    if (i > 0) text.append(gap, ' ');
    std::string cell = group;
    if (!group.empty() && width > width_of(group) + 1) {
      cell += ' ';
      for (std::size_t n = width_of(cell); n < width; ++n) cell += "─";
    }
    text += cell + std::string(width - std::min(width, width_of(cell)), ' ');
    i = end;
  }
  trim_end(text);
  return text.empty() ? text : text + '\n';
}

std::string text_table::format() const {
  const auto w = widths();
  std::vector<std::string> titles;
  for (const column& c : columns_) titles.push_back(c.title);
  std::string text = group_line(w) + line(titles, w);
  for (const auto& cells : rows_) text += cells.size() == columns_.size() ? line(cells, w) : cells.front() + '\n';
  return text;
}

}  // namespace weir::cli
