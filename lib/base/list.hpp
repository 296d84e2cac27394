// SPDX-License-Identifier: Apache-2.0
//
// A doubly linked list of nodes that bring their own `prev` and `next`. Owns nothing; every operation is O(1).
#pragma once

namespace weir::base {

template <class Node>
class list {
 public:
  bool is_empty() const noexcept { return head_ == nullptr; }
  Node* front() const noexcept { return head_; }

  void push_front(Node* node) noexcept {
    node->prev = nullptr;
    node->next = head_;
    if (head_) head_->prev = node;
    head_ = node;
  }

  // Precondition: `node` is in this list.
  void remove(Node* node) noexcept {
    (node->prev ? node->prev->next : head_) = node->next;
    if (node->next) node->next->prev = node->prev;
    node->prev = node->next = nullptr;
  }

 private:
  Node* head_ = nullptr;
};

}  // namespace weir::base
