// RFC 9113, section 7: why a stream or a connection ends.
#pragma once

#include <cstdint>
#include <string_view>

namespace weft::core::http2 {

enum class ErrorCode : uint32_t {
  kNoError,
  kProtocolError,
  kInternalError,
  kFlowControlError,
  kSettingsTimeout,
  kStreamClosed,
  kFrameSizeError,
  kRefusedStream,
  kCancel,
  kCompressionError,
  kConnectError,
  kEnhanceYourCalm,
  kInadequateSecurity,
  kHttp11Required,
};

// Of metrics and logs. A peer may send any number: those that are not defined are "unknown".
std::string_view Name(ErrorCode code);

}  // namespace weft::core::http2
