// SPDX-License-Identifier: Apache-2.0
//
// A value or the reason there is none; what std::expected will be once nvcc has C++23.
//
//     weir::result<int> parse(std::string_view);
//     if (auto n = parse(text)) use(*n); else log(n.error().message());
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "weir/error.hpp"

namespace weir {

template <class T, class E = error>
class [[nodiscard]] result {
 public:
  using value_type = T;
  using error_type = E;

  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  result(E why) : state_(std::in_place_index<1>, std::move(why)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  // Precondition of both: has_value().
  T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  // Precondition: !has_value().
  E& error() & noexcept { return *std::get_if<1>(&state_); }
  const E& error() const& noexcept { return *std::get_if<1>(&state_); }
  E&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  // The value, or the exception that fits the error (weir::error only).
  T value() && {
    if (!has_value()) raise(std::move(*this).error());
    return std::move(**this);
  }

 private:
  std::variant<T, E> state_;
};

// Nothing, or the reason it was not done.
template <class E>
class [[nodiscard]] result<void, E> {
 public:
  using value_type = void;
  using error_type = E;

  result() = default;
  result(E why) : state_(std::in_place_index<1>, std::move(why)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  E& error() & noexcept { return *std::get_if<1>(&state_); }
  const E& error() const& noexcept { return *std::get_if<1>(&state_); }
  E&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  void value() && {
    if (!has_value()) raise(std::move(*this).error());
  }

 private:
  std::variant<std::monostate, E> state_;
};

}  // namespace weir
