#include "head.h"

#include <utility>

namespace weft::core::http1 {

FieldId IdOf(std::string_view name) {
  const auto is = [name](std::string_view known) { return EqualsIgnoringCase(name, known); };
  switch (name.size()) {
    case 2:
      return is("te") ? FieldId::kTe : FieldId::kOther;
    case 4:
      return is("host") ? FieldId::kHost : FieldId::kOther;
    case 6:
      return is("expect") ? FieldId::kExpect : FieldId::kOther;
    case 7:
      if (is("upgrade")) return FieldId::kUpgrade;
      return is("trailer") ? FieldId::kTrailer : FieldId::kOther;
    case 10:
      if (is("connection")) return FieldId::kConnection;
      return is("keep-alive") ? FieldId::kKeepAlive : FieldId::kOther;
    case 14:
      if (is("content-length")) return FieldId::kContentLength;
      return is("http2-settings") ? FieldId::kHttp2Settings : FieldId::kOther;
    case 16:
      return is("proxy-connection") ? FieldId::kProxyConnection : FieldId::kOther;
    case 17:
      return is("transfer-encoding") ? FieldId::kTransferEncoding : FieldId::kOther;
    default:
      return FieldId::kOther;
  }
}

void Head::Reset(Kind of) {
  std::vector<Field> memory = std::move(fields);
  *this = Head();
  memory.clear();
  fields = std::move(memory);
  kind = of;
}

const Field* Head::Find(std::string_view name_wanted) const {
  for (const Field& field : fields) {
    if (field.name.size == name_wanted.size() && EqualsIgnoringCase(name(field), name_wanted)) return &field;
  }
  return nullptr;
}

const Field* Head::Find(FieldId id) const {
  if (!Has(id)) return nullptr;
  for (const Field& field : fields) {
    if (field.id == id) return &field;
  }
  return nullptr;
}

}  // namespace weft::core::http1
