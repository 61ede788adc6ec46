// What is said of a request to whoever decides on it.
#pragma once

#include <arpa/inet.h>

#include <string>
#include <string_view>
#include <utility>

#include "../connection_record.h"
#include "../http1/head.h"
#include "../http1/text.h"
#include "../http2/grpc.h"
#include "../http2/head.h"
#include "request_record.h"

namespace weft::core::http {

inline Method MethodOf(std::string_view name) {
  constexpr std::pair<std::string_view, Method> kMethods[] = {
      {"GET", Method::kGet},     {"POST", Method::kPost},       {"PUT", Method::kPut},
      {"HEAD", Method::kHead},   {"DELETE", Method::kDelete},   {"OPTIONS", Method::kOptions},
      {"PATCH", Method::kPatch}, {"CONNECT", Method::kConnect}, {"TRACE", Method::kTrace},
  };
  for (const auto& [known, method] : kMethods) {
    if (name == known) return method;
  }
  return Method::kOther;
}

// RFC 9110, 9.2.2.
inline bool IsIdempotent(Method method) {
  switch (method) {
    case Method::kGet:
    case Method::kHead:
    case Method::kPut:
    case Method::kDelete:
    case Method::kOptions:
    case Method::kTrace:
      return true;
    default:
      return false;
  }
}

template <typename Head>
bool IsGrpc(const Head& request) {
  const auto* const type = request.Find("content-type");
  return type != nullptr && http2::IsGrpc(request.value(*type));
}

inline bool IsContinueExpected(const http2::Head& request) {
  const http2::Field* const expect = request.Find("expect");
  return expect != nullptr && http1::EqualsIgnoringCase(request.value(*expect), "100-continue");
}

inline bool IsWebSocket(const http1::Head& request) {
  const http1::Field* const upgrade = request.Find(http1::FieldId::kUpgrade);
  return request.upgrade && upgrade != nullptr && http1::EqualsIgnoringCase(request.value(*upgrade), "websocket");
}

// Of HTTP/1.0 without Host: where the client connected to.
inline std::string AuthorityOf(const Identity& connection) {
  char text[INET6_ADDRSTRLEN];
  const uint8_t* const bytes = reinterpret_cast<const uint8_t*>(&connection.local_address);
  const bool is_ipv4 = connection.family == 4;
  inet_ntop(is_ipv4 ? AF_INET : AF_INET6, is_ipv4 ? bytes + 12 : bytes, text, sizeof text);
  std::string authority = text;
  if (!is_ipv4) authority.insert(0, 1, '[').push_back(']');
  authority.push_back(':');
  return authority.append(std::to_string(connection.local_port));
}

}  // namespace weft::core::http
