// How decisions see one request and its response (an exchange): laid out as RequestRecordLayout in engine.d.ts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../connection_record.h"

namespace weft::core::http {

enum class Version : uint32_t {
  kNone = 0,  // of a request that cannot be read
  kHttp10 = 10,
  kHttp11 = 11,
  kHttp2 = 20,
};

enum class Method : uint32_t {
  kOther = 0,
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kConnect,
  kOptions,
  kTrace,
  kPatch,
};

// Bits of RequestIdentity::flags.
enum RequestFlags : uint32_t {
  kUpgrade = 1,          // it asks to leave HTTP: Upgrade or CONNECT
  kExpectsContinue = 2,  // it waits for 100 before it sends its body
  kHasBody = 4,
  kGrpc = 8,  // content-type application/grpc, or with a suffix
  kWebSocket = 16,
};

enum class RequestAction : uint32_t {
  kReset = 0,  // HTTP/1: the connection with RST; HTTP/2: the stream
  kForward = 1,
  kRespond = 2,  // with a response that was defined before
  kHold = 3,     // wait for Engine::ResumeRequest()
};

enum class Ending : uint32_t {
  kComplete = 0,
  kSynthetic,  // OnRequest answered; after OnFailure the ending is what had failed, and the flag tells
  kReset,      // a decision was to reset it
  // Or it closed before the response was complete. detail: an errno, or of a stream of HTTP/2 the code (RFC 9113, 7).
  kClientReset,
  kUpstreamReset,
  kConnectFailed,  // detail: errno
  kConnectTimeout,
  kTlsFailed,  // detail: tls::Reason
  kHoldTimeout,
  kResponseTimeout,
  kRequestTimeout,
  kIdleTimeout,
  kInvalidRequest,   // detail: http1::Error
  kInvalidResponse,  // detail: http1::Error
  kRefusedByLimit,   // too many exchanges, or too many wait for an upstream connection
  kRevoked,
  kShutdown,
  kError,  // detail: errno
};

// Bits of RequestOutcome::flags.
enum OutcomeFlags : uint32_t {
  kSyntheticResponse = 1,
  kHasTrailers = 2,
  kUpgraded = 4,
};

constexpr uint32_t kNoGrpcStatus = 0xffffffff;

// Shown by every call.
struct RequestIdentity {
  uint32_t exchange;
  uint32_t connection;    // the client's
  uint32_t pod;           // of that connection
  uint32_t http_context;  // of the decision kHttp on that connection
  Version version;
  Method method;
  uint32_t flags;             // RequestFlags
  uint32_t authority;         // number of its lower-case name; 0: none, or too many are known
  uint32_t peer_name;         // as of the connection
  uint32_t upstream_context;  // of the last decision kForward; 0 before
  uint32_t attempt;           // how often it has been forwarded
  uint32_t reserved[1];
};

// Written by OnRequest and OnFailure, and before Engine::ResumeRequest().
struct RequestDecision {
  RequestAction action;
  Action via;  // kForward: kRelayToApp, kRelayOut or kTunnel
  uint32_t destination_port;
  uint32_t app_pod;  // as Decision's, as are the next four
  struct address destination_address;
  uint32_t credentials;
  uint32_t expected_name;
  uint32_t workload;
  uint32_t upstream_protocol;    // 0: the client's; 11, 20. What asks in HTTP/1.1 to leave HTTP stays in it
  uint32_t connect_timeout_ms;   // kHold: how long it is held
  uint32_t response_timeout_ms;  // until the head of the response; this and the next two: 0: none
  uint32_t request_timeout_ms;   // of the whole exchange; of gRPC, grpc-timeout counts where it is shorter
  uint32_t idle_timeout_ms;      // while no byte moves in either direction
  uint32_t request_edits;        // number of header edits; 0: none
  uint32_t response_edits;
  uint32_t response;          // kRespond: number of the response
  uint32_t retries;           // reserved, 0
  uint32_t upstream_context;  // whatever decisions want to be told of where it goes; Engine::RevokeRequests() takes it
  uint32_t reserved[3];
};

// Read by OnFailure and OnResponse.
struct RequestOutcome {
  Ending ending;
  uint32_t detail;
  uint32_t status;       // 0: no response's head has come
  uint32_t grpc_status;  // kNoGrpcStatus: none
  uint32_t flags;        // OutcomeFlags
  uint32_t reserved[1];
  double request_bytes;  // of bodies
  double response_bytes;
  double time_to_head_ms;
  double duration_ms;
};

struct RequestRecord {
  RequestIdentity identity;
  RequestDecision decision;
  RequestOutcome outcome;
};

static_assert(offsetof(RequestRecord, decision) == 48 && offsetof(RequestDecision, destination_address) == 16);
static_assert(offsetof(RequestDecision, credentials) == 32 && offsetof(RequestDecision, connect_timeout_ms) == 48);
static_assert(offsetof(RequestDecision, request_edits) == 64 && offsetof(RequestDecision, upstream_context) == 80);
static_assert(offsetof(RequestRecord, outcome) == 144 && offsetof(RequestOutcome, request_bytes) == 24);
static_assert(sizeof(RequestRecord) == 200);

}  // namespace weft::core::http
