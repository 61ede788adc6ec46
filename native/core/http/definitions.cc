#include "definitions.h"

#include <utility>

#include "../http1/head_parser.h"
#include "../http1/text.h"

namespace weft::core::http {
namespace {

std::vector<http1::NewField> View(const std::vector<HeaderField>& fields) {
  std::vector<http1::NewField> view;
  for (const HeaderField& field : fields) view.push_back({field.name, field.value});
  return view;
}

// As the writer judges them when they are used.
bool IsAllowed(const Edits& edits) {
  constexpr std::string_view kText = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  http1::Head head;
  head.Reset(http1::Kind::kResponse);
  if (http1::ParseHead(head, kText, {}).progress != http1::Progress::kDone) return false;
  std::string written;
  return http1::WriteResponse(head, {.fields = edits.fields()}, written).error == http1::Error::kNone;
}

// gRPC, "HTTP/2 protocol mapping": Percent-Encoded.
std::string PercentEncoded(std::string_view text) {
  std::string encoded;
  for (const char character : text) {
    if (character >= ' ' && character <= '~' && character != '%') {
      encoded.push_back(character);
      continue;
    }
    const auto byte = static_cast<uint8_t>(character);
    encoded.push_back('%');
    encoded.push_back("0123456789ABCDEF"[byte >> 4]);
    encoded.push_back("0123456789ABCDEF"[byte & 15]);
  }
  return encoded;
}

}  // namespace

Edits::Edits(HeaderEdits edits) : edits_(std::move(edits)), set_(View(edits_.set)), add_(View(edits_.add)) {
  for (const std::string& name : edits_.remove) remove_.push_back(name);
  fields_ = {.remove = remove_, .set = set_, .add = add_, .valid = false, .sizes = 0};
  for (const std::string_view name : remove_) fields_.sizes |= http1::SizeBit(name);
  for (const http1::NewField& field : set_) fields_.sizes |= http1::SizeBit(field.name);
}

uint32_t Definitions::Define(HeaderEdits edits) {
  auto defined = std::make_shared<Edits>(std::move(edits));
  if (!IsAllowed(*defined)) return 0;
  defined->AreValid();
  edits_.emplace(++last_, std::move(defined));
  return last_;
}

uint32_t Definitions::Define(SyntheticResponse response) {
  const bool may_have_body = response.status != 204 && response.status != 304;
  if (response.status < 200 || response.status > 599 || (!may_have_body && !response.body.empty())) return 0;
  ResponseDefinition defined{response.status,
                             false,
                             {},
                             std::move(response.body),
                             response.grpc_status,
                             PercentEncoded(response.grpc_message)};
  HeaderEdits added;
  for (HeaderField& field : response.headers) {
    if (http1::IdOf(field.name) == http1::FieldId::kConnection) {
      if (!http1::EqualsIgnoringCase(field.value, "close")) return 0;
      defined.closes = true;
      continue;
    }
    defined.fields.append(field.name).append(": ").append(field.value).append("\r\n");
    added.add.push_back(std::move(field));
  }
  if (!IsAllowed(Edits(std::move(added)))) return 0;
  responses_.emplace(++last_, std::move(defined));
  return last_;
}

std::shared_ptr<const Edits> Definitions::edits(uint32_t number) const {
  const auto found = edits_.find(number);
  return found == edits_.end() ? nullptr : found->second;
}

const ResponseDefinition* Definitions::response(uint32_t number) const {
  const auto found = responses_.find(number);
  return found == responses_.end() ? nullptr : &found->second;
}

}  // namespace weft::core::http
