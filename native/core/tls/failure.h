// Why a TLS connection failed, as it is counted.
#pragma once

#include <cstdint>

namespace weft::core::tls {

enum class Reason : uint8_t {
  kNone,
  kNoCertificate,     // the peer showed none
  kUnknownAuthority,  // its chain does not end at one of our anchors
  kExpired,
  kNotYetValid,
  kBadCertificate,  // of another purpose, a bad signature, ...
  kWrongName,       // not the identity expected, or not exactly one
  kNoProtocol,      // no ALPN protocol in common
  kProtocol,        // what came is not TLS as we accept it
  kAlert,           // the peer says so; detail: the alert's number
  kTruncated,       // closed without close_notify
  kSystem,          // detail: errno
};

struct Failure {
  Reason reason = Reason::kNone;
  int detail = 0;
};

Reason ReasonOfVerification(long error);
// By OpenSSL's queue of errors, which is empty afterwards.
Failure TakeQueuedFailure();

}  // namespace weft::core::tls
