#include "exchange.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "client_side.h"
#include "request_description.h"
#include "shared.h"
#include "synthetic_response.h"
#include "upstream_connection.h"

namespace weft::core::http {
namespace {

constexpr uint32_t kMostAttempts = 8;
// google.rpc.Code
constexpr uint32_t kGrpcDeadlineExceeded = 4;
constexpr uint32_t kGrpcUnavailable = 14;

// 0: it says nothing that can be read.
uint32_t GrpcTimeoutMs(std::string_view value) {
  const std::optional<int64_t> timeout_us = http2::ParseGrpcTimeout(value);
  if (!timeout_us) return 0;
  return static_cast<uint32_t>(std::clamp<int64_t>((*timeout_us + 999) / 1000, 1, UINT32_MAX));
}

bool IsAsDialled(const RequestDecision& decision, const Identity& client) {
  return decision.via == Action::kRelayOut && decision.destination_port == client.local_port &&
         memcmp(&decision.destination_address, &client.local_address, sizeof client.local_address) == 0;
}

UpstreamKey KeyOf(const RequestDecision& decision, const Identity& client) {
  if (IsAsDialled(decision, client)) return OwnKey(client);
  UpstreamKey key;
  key.pod = client.pod;
  key.via = decision.via;
  key.app_pod = decision.app_pod;
  key.port = decision.destination_port;
  key.address = decision.destination_address;
  key.credentials = decision.credentials;
  key.expected_name = decision.expected_name;
  key.workload = decision.workload;
  if (decision.via != Action::kRelayOut) key.client = client.remote_address;
  return key;
}

double Milliseconds(int64_t us) { return static_cast<double>(us) / 1000; }

}  // namespace

void Exchange::Reset(uint32_t id) {
  s_ = State();
  s_.identity.exchange = id;
  request_.Clear();
}

void Exchange::FreeMemory() {
  s_.response_edits.reset();
  held_head_.reset();
  request_.FreeMemory();
}

void Exchange::Describe(const http1::Head& request) {
  RequestIdentity& identity = s_.identity;
  identity.version = request.http10 ? Version::kHttp10 : Version::kHttp11;
  identity.method = MethodOf(request.method());
  identity.authority = shared_.authorities.Number(request.authority());
  s_.idempotent = IsIdempotent(identity.method);
  s_.has_body = request.body == http1::Body::kLength || request.body == http1::Body::kChunked;
  s_.expects_continue = request.expects_continue;
  s_.asked = {.head = identity.method == Method::kHead, .connect = request.connect, .upgrade = request.upgrade};
  if (request.upgrade || request.connect) identity.flags |= kUpgrade;
  if (request.expects_continue) identity.flags |= kExpectsContinue;
  if (s_.has_body) identity.flags |= kHasBody;
  if (IsGrpc(request)) identity.flags |= kGrpc;
  if (IsWebSocket(request)) identity.flags |= kWebSocket;
}

void Exchange::Describe(const http2::Head& request) {
  RequestIdentity& identity = s_.identity;
  identity.version = Version::kHttp2;
  identity.method = MethodOf(request.method());
  identity.authority = shared_.authorities.Number(request.authority());
  s_.idempotent = IsIdempotent(identity.method);
  const bool upgrade = request.protocol_place.size != 0;
  const bool connect = identity.method == Method::kConnect && !upgrade;
  s_.asked = {.head = identity.method == Method::kHead, .connect = connect, .upgrade = upgrade};
  s_.has_body = !request.ends && !upgrade && !connect;
  s_.expects_continue = IsContinueExpected(request);
  if (upgrade || connect) identity.flags |= kUpgrade;
  if (s_.expects_continue) identity.flags |= kExpectsContinue;
  if (s_.has_body) identity.flags |= kHasBody;
  if (IsGrpc(request)) identity.flags |= kGrpc;
  if (http1::EqualsIgnoringCase(request.protocol(), "websocket")) identity.flags |= kWebSocket;
}

void Exchange::BelongTo(ClientSide& client) {
  const Identity& connection = client.client();
  s_.client = &client;
  s_.began_us = s_.moved_us = shared_.loop.now_us();
  s_.identity.connection = connection.id;
  s_.identity.pod = connection.pod;
  s_.identity.http_context = client.http_context();
  s_.identity.peer_name = connection.peer_name;
}

void Exchange::Begin(ClientSide& client, const HeadView& request) {
  BelongTo(client);
  request.http1 != nullptr ? Describe(*request.http1) : Describe(*request.http2);
  if ((s_.identity.flags & kGrpc) != 0) s_.grpc_timeout_ms = GrpcTimeoutMs(request.ValueOf("grpc-timeout"));
  // What was received is overwritten by what is received next.
  held_head_ = shared_.exchanges.TakeHead();
  held_head_->Take(request);
  shared_.exchanges.Ask(*this);
}

void HeldHead::Take(const HeadView& head) {
  if (head.http1 != nullptr) {
    text = head.http1->text();
    http1 = *head.http1;
    http1.set_text(text.data());
    view = http1;
  } else {
    http2 = *head.http2;
    view = http2;
  }
}

void Exchange::Show(RequestRecord& record) {
  s_.told = true;
  record = {};
  record.identity = s_.identity;
  record.outcome.grpc_status = kNoGrpcStatus;
}

void Exchange::BeginInvalid(ClientSide& client, http1::Error error) {
  BelongTo(client);
  Fail(Ending::kInvalidRequest, static_cast<uint32_t>(error));
}

// A gRPC client waits no longer than it says, so nobody else has to.
void Exchange::Adopt(const RequestDecision& decision) {
  s_.decision = decision;
  uint32_t& timeout_ms = s_.decision.request_timeout_ms;
  if (s_.grpc_timeout_ms != 0) timeout_ms = std::min(timeout_ms != 0 ? timeout_ms : UINT32_MAX, s_.grpc_timeout_ms);
}

void Exchange::Decided(const RequestDecision& decision, const HeadView& request) {
  Adopt(decision);
  switch (decision.action) {
    case RequestAction::kForward:
      return Forward(request);
    case RequestAction::kRespond:
      return Respond(decision.response, Ending::kSynthetic, 0);
    case RequestAction::kHold:
      return Hold();
    case RequestAction::kReset:
      break;
  }
  End(Ending::kReset, 0, Last::kAborted);
}

void Exchange::Hold() {
  s_.held = true;
  shared_.exchanges.Hold(*this);
  ScheduleNext();
}

void Exchange::ResumeWith(const RequestDecision& decision) {
  if (!std::exchange(s_.held, false)) return;
  Timer::Unlink();
  Decide(decision);
}

void Exchange::Decide(const RequestDecision& decision) {
  s_.deciding = true;
  Decided(decision, held_head_->view);
  s_.deciding = false;
  if (s_.held) return;
  if (held_head_) shared_.exchanges.GiveBack(std::move(held_head_));
  if (!s_.ended) Continue();
}

void Exchange::Forward(const HeadView& request) {
  const RequestDecision& decision = s_.decision;
  const auto edits = shared_.definitions.edits(decision.request_edits);
  s_.response_edits = shared_.definitions.edits(decision.response_edits);
  const bool has_edits = (edits != nullptr || decision.request_edits == 0) &&
                         (s_.response_edits != nullptr || decision.response_edits == 0);
  http1::RequestEdits written;
  if (edits != nullptr) written.fields = edits->fields();
  std::string authority;
  if (request.authority().empty()) written.authority = authority = AuthorityOf(s_.client->client());
  if (!has_edits || Prepare(request, written, IsForHttp2(request), shared_.scratch, request_) != http1::Error::kNone) {
    return Fail(Ending::kError, EINVAL);
  }
  Connect(false);
}

void Exchange::Connect(bool fresh) {
  const RequestDecision& decision = s_.decision;
  const Identity& connection = s_.client->client();
  const bool known =
      decision.via == Action::kRelayToApp || decision.via == Action::kRelayOut || decision.via == Action::kTunnel;
  if (!known) return Fail(Ending::kError, EPROTONOSUPPORT);
  s_.identity.attempt++;
  s_.identity.upstream_context = decision.upstream_context;
  s_.ready = s_.reused = s_.head_sent = false;
  s_.key = KeyOf(decision, connection);
  s_.connecting_us = shared_.loop.now_us();
  ScheduleNext();
  const Endpoint client{connection.remote_address, static_cast<uint16_t>(connection.remote_port)};
  if (request_.is_http2) {
    const bool may =
        shared_.http2_pool.Connect(*this, s_.key, {client, decision.connect_timeout_ms, decision.upstream_context});
    if (!may) return Fail(Ending::kRefusedByLimit, 0);
    return IsWaitingForHttp2() ? ScheduleNext() : void();
  }
  UpstreamConnection* const waiting = fresh ? nullptr : shared_.pool.Take(s_.key, !IsReplayable());
  UpstreamConnection& upstream = waiting != nullptr ? *waiting : shared_.pool.Make(s_.key);
  s_.upstream = &upstream;
  upstream.set_context(decision.upstream_context);
  if (waiting != nullptr) {
    s_.reused = true;
    return upstream.Use(*this);
  }
  upstream.Connect(*this, client, decision.connect_timeout_ms);
}

void Exchange::UpstreamIs(UpstreamSide& upstream, bool reused) {
  s_.upstream = &upstream;
  s_.reused = reused;
}

// Where only HTTP/1.1 can ask to leave HTTP, it is that which is asked.
bool Exchange::IsForHttp2(const HeadView& request) const {
  if (request.http1 != nullptr && (s_.asked.upgrade || s_.asked.connect)) return false;
  if (s_.decision.upstream_protocol == 0) return request.http2 != nullptr;
  return s_.decision.upstream_protocol == static_cast<uint32_t>(Version::kHttp2);
}

// Sent twice, it would do no harm and say the same.
bool Exchange::IsReplayable() const { return s_.idempotent && !s_.has_body; }

void Exchange::UpstreamReady() {
  s_.ready = true;
  s_.forwarded_us = s_.moved_us = shared_.loop.now_us();
  Continue();
}

// Inside of a decision the client's connection goes on by itself.
void Exchange::Continue() {
  if (!s_.deciding) s_.client->Continue();
}

void Exchange::UpstreamNotReady(Ending ending, uint32_t detail) {
  s_.upstream = nullptr;
  Fail(ending, detail);
}

// A server may close a connection at the time at which a request is sent on it: RFC 9112, 9.3.1.
void Exchange::Lost(Ending ending, uint32_t detail, bool unseen) {
  const bool untouched = !s_.response_begun && !s_.interim && !s_.body_begun;
  const bool unsent = unseen || s_.upstream == nullptr || s_.upstream->IsUnsent();
  const bool answered = s_.upstream != nullptr && s_.upstream->IsAnswered();
  const bool again = (s_.reused || unsent) && !s_.retried && untouched && !answered && (s_.idempotent || unsent);
  DropUpstream(0);
  if (!again) return Fail(ending, detail);
  s_.retried = true;
  s_.request_done = false;
  Connect(true);
}

void Exchange::DropUpstream(uint32_t code) {
  s_.ready = false;
  if (UpstreamSide* const upstream = std::exchange(s_.upstream, nullptr)) upstream->Abandon(code);
}

void Exchange::FillOutcome(Ending ending, uint32_t detail) const {
  const int64_t now_us = shared_.loop.now_us();
  RequestRecord& record = *shared_.record;
  record = {};
  record.identity = s_.identity;
  record.outcome.ending = ending;
  record.outcome.detail = detail;
  record.outcome.status = s_.status;
  record.outcome.grpc_status = s_.grpc_status;
  record.outcome.flags = s_.outcome_flags;
  record.outcome.request_bytes = static_cast<double>(s_.request_bytes);
  record.outcome.response_bytes = static_cast<double>(s_.response_bytes);
  record.outcome.time_to_head_ms = s_.head_us != 0 ? Milliseconds(s_.head_us - s_.began_us) : 0;
  record.outcome.duration_ms = Milliseconds(now_us - s_.began_us);
}

void Exchange::Fail(Ending ending, uint32_t detail) {
  DropUpstream(0);
  if (s_.response_begun) return End(ending, detail, FinishesGrpc(ending) ? Last::kCompleted : Last::kAborted);
  if (std::exchange(s_.held, false)) shared_.exchanges.Unhold(*this);
  s_.told = true;
  FillOutcome(ending, detail);
  shared_.asked_text = request_.http1;
  if (request_.is_http2 && !request_.empty()) shared_.asked_head = request_.http2;
  if (held_head_ && request_.empty()) shared_.asked_head = held_head_->view;
  const bool was_deciding = std::exchange(s_.deciding, true);
  shared_.decisions->OnFailure(*shared_.record);
  shared_.asked_text = {};
  shared_.asked_head = {};
  if (s_.ended) return;
  const RequestDecision decision = shared_.record->decision;
  const bool can_repeat = !s_.body_begun && !s_.interim && !request_.empty() && s_.identity.attempt < kMostAttempts;
  if (decision.action == RequestAction::kForward && can_repeat) {
    Adopt(decision);
    s_.request_done = false;
    Connect(false);
  } else if (decision.action == RequestAction::kRespond) {
    Respond(decision.response, ending, detail);
  } else {
    End(ending, detail, Last::kAborted);
  }
  s_.deciding = was_deciding;
  if (!s_.ended && s_.ready) Continue();
}

void Exchange::Respond(uint32_t number, Ending ending, uint32_t detail) {
  const ResponseDefinition* const response = shared_.definitions.response(number);
  if (response == nullptr) return End(ending, detail, Last::kAborted);
  const bool is_grpc = (s_.identity.flags & kGrpc) != 0;
  s_.status = is_grpc ? 200 : response->status;
  if (is_grpc) s_.grpc_status = GrpcStatusOf(*response);
  s_.outcome_flags |= kSyntheticResponse;
  s_.head_us = shared_.loop.now_us();
  s_.response_begun = true;
  if (!is_grpc && !s_.asked.head) s_.response_bytes = static_cast<uint64_t>(response->body.size());
  s_.client->WriteSynthetic(*response, HasUnread());
  End(ending, detail, Last::kCompleted);
}

// What was begun as a gRPC response can still say what became of it.
bool Exchange::FinishesGrpc(Ending ending) {
  if ((s_.identity.flags & kGrpc) == 0 || ending == Ending::kClientReset) return false;
  const bool late = ending == Ending::kRequestTimeout || ending == Ending::kIdleTimeout;
  const uint32_t status = late ? kGrpcDeadlineExceeded : kGrpcUnavailable;
  if (!s_.client->WriteGrpcFailure(status, late ? "timed out" : "the response was cut off")) return false;
  s_.grpc_status = status;
  return true;
}

void Exchange::End(Ending ending, uint32_t detail, Last last) {
  if (std::exchange(s_.ended, true)) return;
  Timer::Unlink();
  DropUpstream(ending == Ending::kClientReset && s_.identity.version == Version::kHttp2 ? detail : 0);
  Link<AskedLink>::Unlink();
  if (s_.told) {
    FillOutcome(ending, detail);
    shared_.decisions->OnResponse(*shared_.record);
  }
  ClientSide& client = *s_.client;
  const bool unread = HasUnread();
  shared_.exchanges.GiveBack(*this);
  if (last == Last::kCompleted) client.Completed(unread);
  if (last == Last::kAborted) client.Aborted(ending, detail);
}

void Exchange::ClientGone(Ending ending, uint32_t detail) { End(ending, detail, Last::kNothing); }

void Exchange::Revoke() { Fail(Ending::kRevoked, 0); }

}  // namespace weft::core::http
