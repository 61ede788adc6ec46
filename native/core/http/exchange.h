// One request and its response, between a client's side and an upstream one, whichever version of HTTP either speaks.
#pragma once

#include <memory>
#include <string>

#include "../http1/framing.h"
#include "../list.h"
#include "../timer_wheel.h"
#include "definitions.h"
#include "head_view.h"
#include "prepared_request.h"
#include "request_record.h"
#include "upstream_key.h"

namespace weft::core::http {

struct Shared;
class ClientSide;
class UpstreamSide;

// Of a body: whatever was given.
constexpr size_t kAllTaken = SIZE_MAX;

// Of exchanges that decisions are to be asked about.
struct AskedLink {};

// A head whose text is its own.
struct HeldHead {
  http1::Head http1;
  std::string text;
  http2::Head http2;
  HeadView view;

  void Take(const HeadView& head);
};

class Exchange final : public Link<Exchange>, public Link<AskedLink>, private Timer {
 public:
  explicit Exchange(Shared& shared) : shared_(shared) {}

  void Reset(uint32_t id);
  void FreeMemory();

  // Asks for a decision, with those on other requests that have come: ClientSide::Continue() follows.
  void Begin(ClientSide& client, const HeadView& request);
  // What decisions are asked.
  void Show(RequestRecord& record);
  const HeadView& shown() const { return held_head_->view; }
  // Acts on the decision; the exchange may have ended when this returns.
  void Decide(const RequestDecision& decision);
  // Of a request that cannot be read.
  void BeginInvalid(ClientSide& client, http1::Error error);
  void ResumeWith(const RequestDecision& decision);
  void Revoke();

  uint32_t id() const { return s_.identity.exchange; }
  const RequestIdentity& identity() const { return s_.identity; }
  bool is_forwarded() const { return s_.identity.attempt > 0; }
  uint32_t upstream_context() const { return s_.identity.upstream_context; }
  bool upgraded() const { return s_.upgraded; }
  bool ended() const { return s_.ended; }
  // What was asked, as the client did.
  const http1::Exchange& asked() const { return s_.asked; }

  // Of the client's side. More of the request, or of what follows it, can be used now.
  bool TakesRequest() const;
  // It does, however much it has been given that the upstream side has not sent yet.
  bool IsReady() const { return s_.ready && (!s_.request_done || s_.upgraded); }
  bool IsAskingForTunnel() const { return s_.asked.connect || s_.asked.upgrade; }
  // Before what comes of the request is given, each time. false: all of it was given before.
  bool GoOnWithRequest();
  void RequestBody(std::string_view bytes);
  void RequestEnd(const HeadView& trailers);
  void RequestInvalid(http1::Error error);
  // What was given is sent.
  void FlushRequest();
  // So many bytes of the response's body have gone on; or all.
  void ResponseTaken(size_t bytes);
  void ClientDrained();
  // Of an exchange that is upgraded.
  void ClientFinished();
  // The client is gone: ends the exchange.
  void ClientGone(Ending ending, uint32_t detail);

  // Of the upstream side. It is being made, or has been `reused`.
  void UpstreamIs(UpstreamSide& upstream, bool reused);
  void UpstreamReady();
  void UpstreamNotReady(Ending ending, uint32_t detail);
  // false: the exchange has ended.
  bool ResponseHead(const HeadView& head, bool switches);
  void ResponseBody(std::string_view bytes);
  // The response is complete; of an exchange that is upgraded: the upstream has finished.
  void ResponseEnd(const HeadView& trailers, bool reusable);
  void ResponseInvalid(http1::Error error);
  // What was given is sent; false: the client takes no more now.
  bool FlushResponse();
  void RequestTaken(size_t bytes);
  void UpstreamDrained();
  // Its connection has ended before the response was complete.
  void UpstreamLost(uint32_t error);
  // It has ended the response (http2/error_code.h).
  void UpstreamReset(uint32_t code, bool refused);

 private:
  // What the client's side is told at the end.
  enum class Last : uint8_t { kCompleted, kAborted, kNothing };

  // Of one exchange; what is beside it keeps its memory for the next.
  struct State {
    ClientSide* client = nullptr;
    UpstreamSide* upstream = nullptr;
    RequestIdentity identity{};
    RequestDecision decision{};
    UpstreamKey key;
    std::shared_ptr<const Edits> response_edits;
    http1::Exchange asked;
    int64_t began_us = 0;
    int64_t connecting_us = 0;  // since then there is an upstream side
    uint32_t grpc_timeout_ms = 0;
    int64_t forwarded_us = 0;
    int64_t head_us = 0;
    int64_t moved_us = 0;
    uint64_t request_bytes = 0;
    uint64_t response_bytes = 0;
    uint32_t status = 0;
    uint32_t grpc_status = kNoGrpcStatus;
    uint32_t outcome_flags = 0;
    bool told = false;  // decisions know of it
    bool deciding = false;
    bool held = false;
    bool ended = false;
    bool ready = false;   // the upstream connection is
    bool reused = false;  // and has been used before
    bool retried = false;
    bool idempotent = false;
    bool has_body = false;
    bool expects_continue = false;
    bool head_sent = false;
    bool body_begun = false;
    bool request_read = false;    // to its end
    bool request_done = false;    // and sent
    bool interim = false;         // an interim response was passed on
    bool response_begun = false;  // to the client
    bool upgraded = false;
    bool client_finished = false;
    bool upstream_finished = false;
  };

  void BelongTo(ClientSide& client);
  void Describe(const http1::Head& request);
  void Describe(const http2::Head& request);
  void Adopt(const RequestDecision& decision);
  void Decided(const RequestDecision& decision, const HeadView& request);
  void Forward(const HeadView& request);
  void Hold();
  void Connect(bool fresh);
  bool IsForHttp2(const HeadView& request) const;
  bool IsReplayable() const;
  void Continue();

  void Respond(uint32_t response, Ending ending, uint32_t detail);
  // Before the response has begun decisions are asked what to do; afterwards the client's connection is reset.
  void Fail(Ending ending, uint32_t detail);
  bool FinishesGrpc(Ending ending);
  // As Fail(), unless it can be sent once more. `unseen`: the upstream has not looked at it.
  void Lost(Ending ending, uint32_t detail, bool unseen);
  void End(Ending ending, uint32_t detail, Last last);
  void FillOutcome(Ending ending, uint32_t detail) const;

  bool HasUnread() const { return s_.has_body && !s_.request_read; }
  void RequestSent();
  void EndIfFinished();
  void TakeGrpcStatus(const HeadView& fields);

  void DropUpstream(uint32_t code);
  // For a connection, or for its server to take one more.
  bool IsWaitingForHttp2() const { return request_.is_http2 && s_.upstream != nullptr && !s_.ready; }
  uint32_t ConnectTimeoutMs() const;
  void ScheduleNext();
  void Expired() override;

  Shared& shared_;
  State s_;
  PreparedRequest request_;  // as it is forwarded
  std::unique_ptr<HeldHead> held_head_;
};

}  // namespace weft::core::http
