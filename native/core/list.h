// Doubly linked lists whose links lie in the elements: no allocation, and an element leaves its list in constant time.
// The tag tells apart the lists that one element may be in at once.
#pragma once

namespace weft::core {

template <typename Tag>
class Link {
 public:
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { Unlink(); }

  bool linked() const { return next_ != nullptr; }
  void Unlink() {
    if (!linked()) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = nullptr;
  }

 private:
  template <typename Element, typename ListTag>
  friend class List;
  Link* previous_ = nullptr;
  Link* next_ = nullptr;
};

template <typename Element, typename Tag>
class List {
 public:
  List() { head_.previous_ = head_.next_ = &head_; }
  ~List() {
    while (!empty()) head_.next_->Unlink();
    head_.previous_ = head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  Element& front() { return static_cast<Element&>(*head_.next_); }

  void PushBack(Element& element) {
    Link<Tag>& link = element;
    link.previous_ = head_.previous_;
    link.next_ = &head_;
    head_.previous_->next_ = &link;
    head_.previous_ = &link;
  }

  void PushFront(Element& element) {
    Link<Tag>& link = element;
    link.previous_ = &head_;
    link.next_ = head_.next_;
    head_.next_->previous_ = &link;
    head_.next_ = &link;
  }

  Element& PopFront() {
    Element& element = front();
    static_cast<Link<Tag>&>(element).Unlink();
    return element;
  }

  // Which may not take elements out.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (Link<Tag>* link = head_.next_; link != &head_; link = link->next_) visit(static_cast<Element&>(*link));
  }

  // Moves all elements of the other list to the end of this one.
  void Append(List& other) {
    if (other.empty()) return;
    head_.previous_->next_ = other.head_.next_;
    other.head_.next_->previous_ = head_.previous_;
    head_.previous_ = other.head_.previous_;
    head_.previous_->next_ = &head_;
    other.head_.previous_ = other.head_.next_ = &other.head_;
  }

 private:
  Link<Tag> head_;
};

}  // namespace weft::core
