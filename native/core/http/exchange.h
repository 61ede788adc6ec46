// One request and its response, between a client's connection and an upstream one.
#pragma once

#include <memory>
#include <string>

#include "../http1/framing.h"
#include "../http1/reader.h"
#include "../list.h"
#include "../timer_wheel.h"
#include "definitions.h"
#include "message_batch.h"
#include "request_record.h"
#include "upstream_key.h"

namespace weft::core::http {

struct Shared;
class ServerConnection;
class UpstreamConnection;

class Exchange final : public Link<Exchange>, private Timer {
 public:
  explicit Exchange(Shared& shared) : shared_(shared) {}

  void Reset(uint32_t id);
  void FreeMemory();

  // Asks for a decision and acts on it; the exchange may have ended when this returns.
  void Begin(ServerConnection& client, const http1::Head& request);
  // Of a request that cannot be read.
  void BeginInvalid(ServerConnection& client, http1::Error error);
  void ResumeWith(const RequestDecision& decision);
  void Revoke();

  uint32_t id() const { return s_.identity.exchange; }
  bool is_forwarded() const { return s_.identity.attempt > 0; }
  uint32_t upstream_context() const { return s_.identity.upstream_context; }
  bool upgraded() const { return s_.upgraded; }

  // Of the client's connection. More of the request, or of what follows it, can be used now.
  bool TakesRequest() const;
  // Takes all of the input, or all of the request.
  void ReadRequest(http1::RequestReader& reader, std::string_view& input);
  void ClientDrained();
  // Of an exchange that is upgraded.
  void ClientFinished();
  // The client is gone: ends the exchange.
  void ClientGone(Ending ending, uint32_t detail);

  // Of the upstream connection.
  void UpstreamReady();
  void UpstreamNotReady(Ending ending, uint32_t detail);
  void ReadResponse(std::string_view input);
  void UpstreamEnded();
  void UpstreamFailed(uint32_t error);
  void UpstreamDrained();

 private:
  // How the client's connection goes on.
  enum class Next : uint8_t { kRequest, kFinish, kReset, kNothing };

  // Of one exchange; what is beside it keeps its memory for the next.
  struct State {
    ServerConnection* client = nullptr;
    UpstreamConnection* upstream = nullptr;
    RequestIdentity identity{};
    RequestDecision decision{};
    UpstreamKey key;
    std::shared_ptr<const Edits> response_edits;
    http1::Exchange expected;
    int64_t began_us = 0;
    int64_t forwarded_us = 0;
    int64_t head_us = 0;
    int64_t moved_us = 0;
    uint64_t request_bytes = 0;
    uint64_t response_bytes = 0;
    uint64_t sent_before = 0;  // by the upstream connection, for others
    uint32_t status = 0;
    uint32_t grpc_status = kNoGrpcStatus;
    uint32_t outcome_flags = 0;
    bool deciding = false;
    bool held = false;
    bool ended = false;
    bool ready = false;   // the upstream connection is
    bool reused = false;  // and has been used before
    bool retried = false;
    bool http10 = false;
    bool persistent = false;  // the client's connection
    bool idempotent = false;
    bool has_body = false;
    bool chunked = false;
    bool expects_continue = false;
    bool head_sent = false;
    bool body_begun = false;
    bool request_read = false;    // to its end
    bool request_done = false;    // and sent
    bool interim = false;         // an interim response was passed on
    bool response_begun = false;  // to the client
    bool response_chunked = false;
    bool closes = false;  // the client's connection ends with the response
    bool upgraded = false;
    bool client_finished = false;
    bool upstream_finished = false;
  };

  // A head whose text is its own.
  struct HeldHead {
    http1::Head head;
    std::string text;
  };

  void BelongTo(ServerConnection& client);
  void Describe(const http1::Head& request);
  void Decided(const RequestDecision& decision, const http1::Head& request);
  void Forward(const http1::Head& request);
  void Hold(const http1::Head& request);
  void Connect(bool fresh);
  bool IsReplayable() const;
  void Continue();

  void Respond(uint32_t response, Ending ending, uint32_t detail);
  // Before the response has begun decisions are asked what to do; afterwards the client's connection is reset.
  void Fail(Ending ending, uint32_t detail);
  void Lost(Ending ending, uint32_t detail);
  void End(Ending ending, uint32_t detail, Next next);
  void FillOutcome(Ending ending, uint32_t detail) const;

  void RequestSent();
  bool PassHead(const http1::Head& head, MessageBatch& batch);
  void PassEnd(const http1::Head& trailers, MessageBatch& batch);
  void Complete(bool reusable);
  void EndIfFinished();
  void Upgrade();
  void TakeGrpcStatus(const http1::Head& fields);

  void DropUpstream(bool reset);
  void ScheduleNext();
  void Expired() override;

  Shared& shared_;
  State s_;
  std::string request_head_;  // as it is forwarded
  std::unique_ptr<HeldHead> held_head_;
};

}  // namespace weft::core::http
