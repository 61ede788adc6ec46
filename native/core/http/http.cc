#include "http.h"

#include <utility>

#include "../http1/framing.h"
#include "../http1/head_parser.h"
#include "http2_server_connection.h"
#include "server_connection.h"
#include "socket_stream.h"

namespace weft::core::http {

HeadView Http::Asked() {
  if (const HeadView shown = shared_.exchanges.shown()) return shown;
  if (shared_.asked_head || shared_.asked_text.empty()) return shared_.asked_head;
  http1::Head& head = shared_.parsed_head;
  head.Reset(http1::Kind::kRequest);
  if (http1::ParseHead(head, shared_.asked_text, shared_.limits).progress != http1::Progress::kDone) return {};
  return shared_.asked_head = head;
}

std::string_view Http::RequestMethod() {
  const HeadView head = Asked();
  return head ? head.method() : std::string_view();
}

std::string_view Http::RequestPath() {
  const HeadView head = Asked();
  return head ? head.target() : std::string_view();
}

std::string_view Http::RequestAuthority() {
  const HeadView head = Asked();
  return head ? shared_.authorities.Lower(head.authority()) : std::string_view();
}

bool Http::RequestHeader(std::string_view name, std::string& value) {
  const HeadView head = Asked();
  bool found = false;
  value.clear();
  const auto take_from = [&](const auto& form) {
    for (const auto& field : form.fields) {
      if (!http1::EqualsIgnoringCase(form.name(field), name)) continue;
      if (std::exchange(found, true)) value.append(", ");
      value.append(form.value(field));
    }
  };
  if (head.http1 != nullptr) take_from(*head.http1);
  if (head.http2 != nullptr) take_from(*head.http2);
  return found;
}

void Http::RevokeRequests(uint32_t upstream_context) {
  shared_.exchanges.Revoke(upstream_context);
  shared_.pool.Revoke(upstream_context);
  shared_.http2_pool.Revoke(upstream_context);
}

Connection& Http::Serve(const Identity& identity, int64_t accepted_us, const Decision& decision, Descriptor client) {
  return Serve(
      identity, accepted_us, decision,
      std::make_unique<SocketStream>(shared_.loop, shared_.buffer(), std::move(client), SocketStream::Holders::kUs));
}

Connection& Http::Serve(const Identity& identity, int64_t accepted_us, const Decision& decision,
                        std::unique_ptr<ByteStream> stream) {
  if (identity.detected == Detected::kHttp2) {
    auto* const connection = new Http2ServerConnection(shared_, identity, accepted_us, decision, std::move(stream));
    connection->Begin();
    return *connection;
  }
  auto* const connection = new ServerConnection(shared_, identity, accepted_us, decision, std::move(stream));
  connection->Begin();
  return *connection;
}

void Http::Drain() {
  shared_.draining = true;
  shared_.pool.CloseIdle();
  shared_.http2_pool.RetireAll();
  shared_.http2_connections.ForEach([](Http2ServerConnection& connection) { connection.Drain(); });
}

}  // namespace weft::core::http
