// How decisions see a connection: laid out as ConnectionRecordLayout in engine.d.ts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../../bpf/weft.h"

namespace weft::core {

enum class Action : uint32_t {
  kRefuse = 0,      // with RST; where an alert is given, with that TLS alert and FIN
  kRelayToApp = 1,  // dial the app in its own pod, with the client's address restored
  kRelayOut = 2,    // dial from the client's pod
  kDetect = 3,      // look at the first bytes, then ask again
  kHold = 4,        // wait for Engine::Resume()
  kAcceptTls = 5,   // of what was detected: end the mesh's TLS here
  kTunnel = 6,      // out of the pod, over a shared connection of mutual TLS
  kHttp = 7,        // end HTTP here and ask for every request; after kTimeout this is HTTP/1
};

// By which way a connection came.
enum class Origin : uint32_t {
  kCaptured = 0,
  kTunnel = 1,  // a stream of a peer's tunnel
  kTls = 2,     // mutual TLS of a peer that is no agent
};

// What kDetect found. Inside of mutual TLS a ClientHello is kPlaintext.
enum class Detected : uint32_t {
  kNothing = 0,     // not looked yet
  kPlaintext = 1,   // the first bytes are none of what follows
  kTimeout = 2,     // no bytes in time: the server may have to speak first
  kTls = 3,         // a ClientHello; identity.server_name tells for whom, 0 for a name that nobody registered
  kTlsRefused = 4,  // a ClientHello that is invalid, or of no TLS 1.3 peer of ours
  kHttp1 = 5,       // a request line
  kHttp2 = 6,       // the client's connection preface
};

enum class CloseReason : uint32_t {
  kFinished = 0,
  kResetByClient,
  kResetByUpstream,
  kConnectFailed,
  kConnectTimeout,
  kIdleTimeout,
  kRefused,
  kShutdown,
  kError,
  kTlsFailed,  // the outcome's error is a tls::Reason
  kTunnel,     // it became a tunnel: its streams are connections of their own
  kRevoked,    // the decision does not hold any more
};

// What is known of a connection when decisions are asked. Names are those that Engine::Intern() gives numbers to.
struct Identity {
  uint32_t id;
  uint32_t pod;
  uint32_t family;
  uint32_t local_port;
  uint32_t remote_port;
  Origin origin;
  Detected detected;
  uint32_t server_name;
  struct address local_address;
  struct address remote_address;
  struct address peer_address;  // of the TCP connection that a stream came by
  uint32_t peer_name;           // who the peer has proven to be, or has to; 0: nobody
  uint32_t tunnel;              // of a stream: id of the connection that became its tunnel
  uint32_t astray;              // of a stream: 1 where it asks for another place than its tunnel was dialled to
  Detected claimed;             // of a stream: kPlaintext, kHttp1 or kHttp2, as its peer says; kNothing: it does not
};

// Written by OnConnection.
struct Decision {
  Action action;
  uint32_t connect_timeout_ms;
  uint32_t idle_timeout_ms;  // 0: none; kHttp: between requests
  uint32_t destination_port;
  struct address destination_address;
  uint32_t app_pod;            // kRelayToApp: where the app is; 0: in the pod that was dialled
  uint32_t credentials;        // kAcceptTls, kTunnel: ours
  uint32_t expected_name;      // kTunnel: whom the peer has to prove to be; kRelayToApp in another pod: who that is
  uint32_t workload;           // kTunnel: no other workload's tunnel is used, whatever its address
  uint32_t detect_timeout_ms;  // kDetect
  uint32_t alert;              // kRefuse of a ClientHello: a TLS alert's number, or 0
  uint32_t http_context;       // kHttp: whatever decisions want to be told with every request
  uint32_t reserved[1];
};

// Read by OnClose.
struct Outcome {
  CloseReason reason;
  uint32_t error;
  double bytes_to_upstream;
  double bytes_to_client;
  double duration_ms;
};

struct ConnectionRecord {
  Identity identity;
  Decision decision;
  Outcome outcome;
};

static_assert(offsetof(Identity, origin) == 20 && offsetof(Identity, detected) == 24);
static_assert(offsetof(Identity, server_name) == 28 && offsetof(Identity, local_address) == 32);
static_assert(offsetof(Identity, peer_address) == 64 && offsetof(Identity, peer_name) == 80);
static_assert(offsetof(ConnectionRecord, decision) == 96 && offsetof(Decision, connect_timeout_ms) == 4);
static_assert(offsetof(Decision, destination_port) == 12 && offsetof(Decision, destination_address) == 16);
static_assert(offsetof(Decision, app_pod) == 32 && offsetof(Decision, detect_timeout_ms) == 48);
static_assert(offsetof(Decision, http_context) == 56);
static_assert(offsetof(ConnectionRecord, outcome) == 160 && offsetof(Outcome, bytes_to_upstream) == 8);
static_assert(sizeof(ConnectionRecord) == 192);

}  // namespace weft::core
