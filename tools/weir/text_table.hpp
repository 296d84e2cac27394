// SPDX-License-Identifier: Apache-2.0
//
// Columns for a terminal: every cell as wide as the widest of its column, numbers to the right.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace weir::cli {

class text_table {
 public:
  enum class side { left, right };
  struct column {
    std::string title;
    side align = side::right;
    std::string group{};  // a heading over neighbouring columns of the same group
  };

  explicit text_table(std::vector<column> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // A line of its own above the rows that follow.
  void add_heading(std::string text) { rows_.push_back({std::move(text)}); }

  std::string format() const;

 private:
  std::vector<std::size_t> widths() const;
  std::string group_line(const std::vector<std::size_t>& widths) const;
  std::string line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const;

  std::vector<column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace weir::cli
