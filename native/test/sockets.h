// Blocking sockets whose every call ends by a deadline.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "../core/address.h"
#include "../core/descriptor.h"

namespace weft::test {

using core::Descriptor;
using core::Endpoint;

Endpoint LoopbackIpv4();
Endpoint LoopbackIpv6();

// On a port that the kernel chooses. A dual-stack one where the address is IPv6's wildcard.
Descriptor Listen(const Endpoint& address, int backlog = 4096);
Endpoint LocalEndpoint(const Descriptor& socket);
Endpoint PeerEndpoint(const Descriptor& socket);
void SetNonBlocking(const Descriptor& socket, bool non_blocking);

Descriptor NewSocket(const Endpoint& destination);
// Returns 0 or an errno.
int Connect(const Descriptor& socket, const Endpoint& destination);
Descriptor Connected(const Endpoint& destination);
Descriptor Accept(const Descriptor& listener);

void Send(const Descriptor& socket, std::string_view bytes);
std::string Receive(const Descriptor& socket, size_t bytes);
// Until the end of the stream.
std::string ReceiveAll(const Descriptor& socket);
void Finish(const Descriptor& socket);
// Closes it so that RST is sent.
void Reset(Descriptor& socket);
// Reads until it fails, and returns the errno; 0 for the end of the stream.
int ReadError(const Descriptor& socket);

// Of what may be reset before connect() has returned.
int ConnectThenRead(const Endpoint& destination);

// Bytes that repeat late enough to show loss, repetition and disorder.
std::string Pattern(size_t size, uint32_t seed);

// A listener whose queue is full: connecting to it takes for ever.
class FullListener {
 public:
  FullListener();
  Endpoint endpoint() const { return LocalEndpoint(listener_); }

 private:
  Descriptor listener_;
  Descriptor waiting_[4];
};

}  // namespace weft::test
