// What OPEN says of a stream's protocol, and what is detected of connections.
#pragma once

#include "connection_record.h"
#include "weft1/frame.h"

namespace weft::core {

// Of a connection that is carried as bytes: it was looked at already, or nobody shall look.
constexpr weft1::Protocol ClaimOf(Detected detected) {
  return detected == Detected::kHttp2 ? weft1::Protocol::kHttp2 : weft1::Protocol::kOpaque;
}

constexpr Detected ClaimedBy(weft1::Protocol protocol) {
  switch (protocol) {
    case weft1::Protocol::kUndetermined:
      return Detected::kNothing;
    case weft1::Protocol::kOpaque:
      return Detected::kPlaintext;
    case weft1::Protocol::kHttp1:
      return Detected::kHttp1;
    case weft1::Protocol::kHttp2:
      return Detected::kHttp2;
  }
  return Detected::kNothing;
}

}  // namespace weft::core
