// A message's head, or a trailer section, in the form in which it came.
#pragma once

#include <string_view>

#include "../http1/head.h"
#include "../http2/head.h"

namespace weft::core::http {

struct HeadView {
  HeadView() = default;
  HeadView(const http1::Head& head) : http1(&head) {}
  HeadView(const http2::Head& head) : http2(&head) {}

  // One of them, or neither: there is no head.
  const http1::Head* http1 = nullptr;
  const http2::Head* http2 = nullptr;

  explicit operator bool() const { return http1 != nullptr || http2 != nullptr; }
  bool empty() const { return http1 != nullptr ? http1->fields.empty() : http2 == nullptr || http2->fields.empty(); }
  std::string_view method() const { return http1 != nullptr ? http1->method() : http2->method(); }
  std::string_view target() const {
    if (http1 != nullptr) return http1->target();
    return http2->path_place.size != 0 ? http2->path() : http2->authority();
  }
  std::string_view authority() const { return http1 != nullptr ? http1->authority() : http2->authority(); }
  uint16_t status() const { return http1 != nullptr ? http1->status : http2->status; }
  // Of the first field of the name, which is in lower case; empty: none, or it says nothing.
  std::string_view ValueOf(std::string_view name) const {
    if (http1 != nullptr) {
      const http1::Field* const field = http1->Find(name);
      return field != nullptr ? http1->value(*field) : std::string_view();
    }
    const http2::Field* const field = http2->Find(name);
    return field != nullptr ? http2->value(*field) : std::string_view();
  }
};

}  // namespace weft::core::http
