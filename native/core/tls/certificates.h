// Certificates and keys as they are given (PEM, or DER one after the other), and what they say.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handles.h"

namespace weft::core::tls {

using Digest = std::array<uint8_t, 32>;

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

// Empty: none, or something else among them.
std::vector<Certificate> ReadCertificates(std::string_view text);
// Null: none. An encrypted key is none.
Key ReadPrivateKey(std::string_view text);

// The one DNS name of the certificate. A certificate of several names, or of none, is nobody's identity.
std::optional<std::string> IdentityOf(const X509* certificate);
// Seconds since 1970.
int64_t NotAfter(const X509* certificate);

// The same for the same certificates in any order.
Digest DigestOf(const std::vector<Certificate>& certificates);
Digest DigestOf(std::string_view text);

}  // namespace weft::core::tls
