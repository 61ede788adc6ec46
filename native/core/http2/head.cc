#include "head.h"

#include <utility>

namespace weft::core::http2 {

const Field* Head::Find(std::string_view wanted) const {
  for (const Field& field : fields) {
    if (name(field) == wanted) return &field;
  }
  return nullptr;
}

void Head::Reset() {
  std::vector<Field> fields_memory = std::move(fields);
  std::string text_memory = std::move(text_);
  *this = Head();
  fields_memory.clear();
  text_memory.clear();
  fields = std::move(fields_memory);
  text_ = std::move(text_memory);
}

void Head::Add(std::string_view name, std::string_view value, bool sensitive) {
  Field field;
  field.name = Append(name);
  for (uint32_t i = 0; i < field.name.size; i++) text_[field.name.at + i] = http1::ToLower(text_[field.name.at + i]);
  field.value = Append(value);
  field.sensitive = sensitive;
  fields.push_back(field);
}

}  // namespace weft::core::http2
