// What a connection's first bytes say before anyone has decided to speak TLS on it. The caller peeks (MSG_PEEK) and
// passes all there is from the connection's beginning, each time there is more; the bytes stay in the kernel, for TLS
// or for whoever the connection is relayed to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::core::tls {

// With its record headers. A ClientHello with a post-quantum key share has 1.8 KB; with a ticket, 4.
constexpr size_t kMaxClientHelloBytes = 16 * 1024;

struct ClientHello {
  enum class State : uint8_t {
    kNeedMore,
    kNotTls,   // some other protocol
    kInvalid,  // begins as a ClientHello, and is none or is too large
    kParsed,
  };

  State state = State::kNeedMore;
  // Of kNeedMore: the answer cannot change before so many bytes are there (what SO_RCVLOWAT wants to know).
  size_t needed = 0;
  // Of kParsed. In lower case; empty: the client sent none.
  std::string server_name;
  std::vector<std::string> protocols;
  bool tls13 = false;
};

ClientHello ParseClientHello(std::span<const std::byte> bytes);

}  // namespace weft::core::tls
