#include "error_code.h"

#include <iterator>

namespace weft::core::http2 {

std::string_view Name(ErrorCode code) {
  static constexpr std::string_view kNames[] = {
      "no_error",
      "protocol_error",
      "internal_error",
      "flow_control_error",
      "settings_timeout",
      "stream_closed",
      "frame_size_error",
      "refused_stream",
      "cancel",
      "compression_error",
      "connect_error",
      "enhance_your_calm",
      "inadequate_security",
      "http11_required",
  };
  const auto index = static_cast<uint32_t>(code);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

}  // namespace weft::core::http2
