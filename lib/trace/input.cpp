// SPDX-License-Identifier: Apache-2.0
#include "trace/input.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir::trace {

input::input(std::unique_ptr<byte_source> source, std::string name)
    : source_(std::move(source)), name_(std::move(name)), buffer_(std::size_t{128} << 10) {}

result<bool, file_error> input::fill() {
  if (begin_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const auto got = source_->read(std::span<char>(buffer_).subspan(end_));
  if (!got) return got.error();
  end_ += *got;
  return *got != 0;
}

result<std::string_view, file_error> input::peek(std::size_t count) {
  while (end_ - begin_ < count) {
    const auto more = fill();
    if (!more) return more.error();
    if (!*more) break;
  }
  return seen().substr(0, count);
}

result<std::size_t, file_error> input::read(char* to, std::size_t count) {
  std::size_t done = 0;
  while (done < count) {
    if (begin_ == end_) {
      const auto more = fill();
      if (!more) return more.error();
      if (!*more) break;
    }
    const std::size_t step = std::min(count - done, end_ - begin_);
    std::memcpy(to + done, buffer_.data() + begin_, step);
    consume(step);
    done += step;
  }
  return done;
}

result<std::optional<input::line>, file_error> input::read_line(std::size_t bytes_max) {
  std::size_t searched = 0;
  for (;;) {
    const std::string_view all = seen();
    const std::size_t newline = all.find('\n', searched);
    const bool found = newline != std::string_view::npos;
    if ((found ? newline : all.size()) > bytes_max) {
      return file_error{file_error_kind::limit, name_, position_unit::byte, position_,
                        "a line of more than " + std::to_string(bytes_max) + " bytes"};
    }
    if (found) {
      consume(newline + 1);
      return std::optional<line>(line{all.substr(0, newline)});
    }
    searched = all.size();
    const auto more = fill();
    if (!more) return more.error();
    if (!*more) break;
  }
  const std::string_view rest = seen();
  if (rest.empty()) return std::optional<line>();
  consume(rest.size());
  return std::optional<line>(line{rest, false});
}

}  // namespace weir::trace
