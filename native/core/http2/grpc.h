// What a proxy has to know of gRPC: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weft::core::http2 {

constexpr uint32_t kNoGrpcStatus = 0xffffffff;
constexpr uint32_t kGrpcUnknown = 2;

// application/grpc, alone, with a format ("+proto") or with parameters.
bool IsGrpc(std::string_view content_type);

// In microseconds: one to eight digits and a unit of H, M, S, m, u, n. What is shorter than a microsecond is one.
std::optional<int64_t> ParseGrpcTimeout(std::string_view text);

// Of a field's value; what is no number, or is beyond the codes, is kGrpcUnknown.
uint32_t ParseGrpcStatus(std::string_view text);

// Of a head of either form, or of a trailer section; kNoGrpcStatus: it says nothing.
template <typename Head>
uint32_t GrpcStatusOf(const Head& head) {
  const auto* const field = head.Find("grpc-status");
  return field == nullptr ? kNoGrpcStatus : ParseGrpcStatus(head.value(*field));
}

}  // namespace weft::core::http2
