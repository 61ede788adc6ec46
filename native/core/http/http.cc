#include "http.h"

#include <utility>

#include "../http1/framing.h"
#include "../http1/head_parser.h"
#include "server_connection.h"
#include "socket_stream.h"

namespace weft::core::http {

const http1::Head* Http::Asked() {
  if (shared_.asked_head != nullptr || shared_.asked_text.empty()) return shared_.asked_head;
  http1::Head& head = shared_.parsed_head;
  head.Reset(http1::Kind::kRequest);
  if (http1::ParseHead(head, shared_.asked_text, shared_.limits).progress != http1::Progress::kDone) return nullptr;
  return shared_.asked_head = &head;
}

std::string_view Http::RequestMethod() {
  const http1::Head* const head = Asked();
  return head != nullptr ? head->method() : std::string_view();
}

std::string_view Http::RequestPath() {
  const http1::Head* const head = Asked();
  return head != nullptr ? head->target() : std::string_view();
}

std::string_view Http::RequestAuthority() {
  const http1::Head* const head = Asked();
  return head != nullptr ? shared_.authorities.Lower(head->authority()) : std::string_view();
}

bool Http::RequestHeader(std::string_view name, std::string& value) {
  const http1::Head* const head = Asked();
  if (head == nullptr) return false;
  bool found = false;
  value.clear();
  for (const http1::Field& field : head->fields) {
    if (!http1::EqualsIgnoringCase(head->name(field), name)) continue;
    if (std::exchange(found, true)) value.append(", ");
    value.append(head->value(field));
  }
  return found;
}

void Http::RevokeRequests(uint32_t upstream_context) {
  shared_.exchanges.Revoke(upstream_context);
  shared_.pool.Revoke(upstream_context);
}

Connection& Http::Serve(const Identity& identity, int64_t accepted_us, const Decision& decision, Descriptor client) {
  return Serve(identity, accepted_us, decision,
               std::make_unique<SocketStream>(shared_.loop, shared_.buffer(), std::move(client)));
}

Connection& Http::Serve(const Identity& identity, int64_t accepted_us, const Decision& decision,
                        std::unique_ptr<ByteStream> stream) {
  auto* connection = new ServerConnection(shared_, identity, accepted_us, decision, std::move(stream));
  connection->Begin();
  return *connection;
}

void Http::Drain() {
  shared_.draining = true;
  shared_.pool.CloseIdle();
}

}  // namespace weft::core::http
