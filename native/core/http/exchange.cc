#include "exchange.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "request_description.h"
#include "server_connection.h"
#include "synthetic_response.h"
#include "upstream_connection.h"

namespace weft::core::http {
namespace {

constexpr uint32_t kMostAttempts = 8;
constexpr size_t kMostMemoryKept = 16 * 1024;

CloseReason ReasonOf(Ending ending) {
  switch (ending) {
    case Ending::kClientReset:
      return CloseReason::kResetByClient;
    case Ending::kReset:
      return CloseReason::kRefused;
    case Ending::kRevoked:
      return CloseReason::kRevoked;
    case Ending::kShutdown:
      return CloseReason::kShutdown;
    case Ending::kConnectFailed:
    case Ending::kTlsFailed:
      return CloseReason::kConnectFailed;
    case Ending::kConnectTimeout:
      return CloseReason::kConnectTimeout;
    case Ending::kHoldTimeout:
    case Ending::kResponseTimeout:
    case Ending::kRequestTimeout:
    case Ending::kIdleTimeout:
      return CloseReason::kIdleTimeout;
    case Ending::kInvalidRequest:
    case Ending::kError:
      return CloseReason::kError;
    default:
      return CloseReason::kResetByUpstream;
  }
}

double Milliseconds(int64_t us) { return static_cast<double>(us) / 1000; }

}  // namespace

void Exchange::Reset(uint32_t id) {
  s_ = State();
  s_.identity.exchange = id;
  request_head_.clear();
}

void Exchange::FreeMemory() {
  s_.response_edits.reset();
  held_head_.reset();
  if (request_head_.capacity() > kMostMemoryKept) request_head_ = std::string();
}

void Exchange::Describe(const http1::Head& request) {
  RequestIdentity& identity = s_.identity;
  identity.version = request.http10 ? Version::kHttp10 : Version::kHttp11;
  identity.method = MethodOf(request.method());
  identity.authority = shared_.authorities.Number(request.authority());
  s_.http10 = request.http10;
  s_.persistent = request.persistent;
  s_.idempotent = IsIdempotent(identity.method);
  s_.has_body = request.body == http1::Body::kLength || request.body == http1::Body::kChunked;
  s_.chunked = request.body == http1::Body::kChunked;
  s_.expects_continue = request.expects_continue;
  s_.expected = {.head = identity.method == Method::kHead, .connect = request.connect, .upgrade = request.upgrade};
  identity.flags = 0;
  if (request.upgrade || request.connect) identity.flags |= kUpgrade;
  if (request.expects_continue) identity.flags |= kExpectsContinue;
  if (s_.has_body) identity.flags |= kHasBody;
  if (IsGrpc(request)) identity.flags |= kGrpc;
  if (IsWebSocket(request)) identity.flags |= kWebSocket;
}

void Exchange::BelongTo(ServerConnection& client) {
  const Identity& connection = client.identity();
  s_.client = &client;
  s_.began_us = s_.moved_us = shared_.loop.now_us();
  s_.identity.connection = connection.id;
  s_.identity.pod = connection.pod;
  s_.identity.http_context = client.http_context();
  s_.identity.peer_name = connection.peer_name;
}

void Exchange::Begin(ServerConnection& client, const http1::Head& request) {
  BelongTo(client);
  Describe(request);
  RequestRecord& record = *shared_.record;
  record = {};
  record.identity = s_.identity;
  record.outcome.grpc_status = kNoGrpcStatus;
  shared_.asked_head = &request;
  s_.deciding = true;
  shared_.decisions->OnRequest(record);
  shared_.asked_head = nullptr;
  if (!s_.ended) Decided(RequestDecision(record.decision), request);
  s_.deciding = false;
}

void Exchange::BeginInvalid(ServerConnection& client, http1::Error error) {
  BelongTo(client);
  Fail(Ending::kInvalidRequest, static_cast<uint32_t>(error));
}

void Exchange::Decided(const RequestDecision& decision, const http1::Head& request) {
  s_.decision = decision;
  switch (decision.action) {
    case RequestAction::kForward:
      return Forward(request);
    case RequestAction::kRespond:
      return Respond(decision.response, Ending::kSynthetic, 0);
    case RequestAction::kHold:
      return Hold(request);
    case RequestAction::kReset:
      break;
  }
  End(Ending::kReset, 0, Next::kReset);
}

// What was received is overwritten by what is received next.
void Exchange::Hold(const http1::Head& request) {
  held_head_ = std::make_unique<HeldHead>(HeldHead{request, std::string(request.text())});
  held_head_->head.set_text(held_head_->text.data());
  s_.held = true;
  shared_.exchanges.Hold(*this);
  ScheduleNext();
}

void Exchange::ResumeWith(const RequestDecision& decision) {
  if (!std::exchange(s_.held, false)) return;
  Timer::Unlink();
  s_.deciding = true;
  Decided(decision, held_head_->head);
  s_.deciding = false;
  if (!s_.ended && !s_.held) Continue();
}

void Exchange::Forward(const http1::Head& request) {
  const RequestDecision& decision = s_.decision;
  const auto edits = shared_.definitions.edits(decision.request_edits);
  s_.response_edits = shared_.definitions.edits(decision.response_edits);
  const bool has_edits = (edits != nullptr || decision.request_edits == 0) &&
                         (s_.response_edits != nullptr || decision.response_edits == 0);
  http1::RequestEdits written;
  if (edits != nullptr) written.fields = edits->fields();
  std::string authority;
  if (request.authority().empty()) written.authority = authority = AuthorityOf(s_.client->identity());
  request_head_.clear();
  if (!has_edits || http1::WriteRequest(request, written, request_head_).error != http1::Error::kNone) {
    return Fail(Ending::kError, EINVAL);
  }
  Connect(false);
}

void Exchange::Connect(bool fresh) {
  const RequestDecision& decision = s_.decision;
  const Identity& connection = s_.client->identity();
  const bool known =
      decision.via == Action::kRelayToApp || decision.via == Action::kRelayOut || decision.via == Action::kTunnel;
  if (!known || decision.upstream_protocol == 20) return Fail(Ending::kError, EPROTONOSUPPORT);
  s_.identity.attempt++;
  s_.identity.upstream_context = decision.upstream_context;
  s_.ready = s_.reused = s_.head_sent = false;
  s_.key = {};
  s_.key.pod = connection.pod;
  s_.key.via = decision.via;
  s_.key.app_pod = decision.app_pod;
  s_.key.port = decision.destination_port;
  s_.key.address = decision.destination_address;
  s_.key.credentials = decision.credentials;
  s_.key.expected_name = decision.expected_name;
  s_.key.workload = decision.workload;
  if (decision.via != Action::kRelayOut) s_.key.client = connection.remote_address;
  ScheduleNext();

  s_.upstream = fresh ? nullptr : shared_.pool.Take(s_.key, !IsReplayable());
  if (s_.upstream != nullptr) {
    s_.reused = true;
    s_.upstream->Use(*this);
    s_.upstream->set_context(decision.upstream_context);
    return UpstreamReady();
  }
  s_.upstream = &shared_.pool.Make(s_.key);
  s_.upstream->set_context(decision.upstream_context);
  s_.upstream->Connect(*this, {connection.remote_address, static_cast<uint16_t>(connection.remote_port)},
                       decision.connect_timeout_ms);
}

// Sent twice, it would do no harm and say the same.
bool Exchange::IsReplayable() const { return s_.idempotent && !s_.has_body; }

void Exchange::UpstreamReady() {
  s_.ready = true;
  s_.sent_before = s_.upstream->stream().sent();
  s_.forwarded_us = s_.moved_us = shared_.loop.now_us();
  s_.upstream->reader().Expect(s_.expected);
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
void Exchange::Lost(Ending ending, uint32_t detail) {
  const bool untouched = !s_.response_begun && !s_.interim && !s_.body_begun;
  const bool unsent = s_.upstream == nullptr || s_.upstream->stream().sent() == s_.sent_before;
  const bool answered = s_.upstream != nullptr && s_.upstream->reader().begun();
  const bool again = s_.reused && !s_.retried && untouched && !answered && (s_.idempotent || unsent);
  DropUpstream(true);
  if (!again) return Fail(ending, detail);
  s_.retried = true;
  s_.request_done = false;
  Connect(true);
}

void Exchange::DropUpstream(bool reset) {
  s_.ready = false;
  if (UpstreamConnection* const upstream = std::exchange(s_.upstream, nullptr)) upstream->Close(reset);
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
  DropUpstream(true);
  if (s_.response_begun) return End(ending, detail, Next::kReset);
  if (std::exchange(s_.held, false)) shared_.exchanges.Unhold(*this);
  FillOutcome(ending, detail);
  shared_.asked_text = request_head_;
  if (held_head_) shared_.asked_head = &held_head_->head;
  const bool was_deciding = std::exchange(s_.deciding, true);
  shared_.decisions->OnFailure(*shared_.record);
  shared_.asked_text = {};
  shared_.asked_head = nullptr;
  if (s_.ended) return;
  const RequestDecision decision = shared_.record->decision;
  const bool can_repeat =
      !s_.body_begun && !s_.interim && !request_head_.empty() && s_.identity.attempt < kMostAttempts;
  if (decision.action == RequestAction::kForward && can_repeat) {
    s_.decision = decision;
    s_.request_done = false;
    Connect(false);
  } else if (decision.action == RequestAction::kRespond) {
    Respond(decision.response, ending, detail);
  } else {
    End(ending, detail, Next::kReset);
  }
  s_.deciding = was_deciding;
  if (!s_.ended && s_.ready) Continue();
}

void Exchange::Respond(uint32_t number, Ending ending, uint32_t detail) {
  const ResponseDefinition* const response = shared_.definitions.response(number);
  if (response == nullptr) return End(ending, detail, Next::kReset);
  const bool unread = s_.has_body && !s_.request_read;
  const bool closes = response->closes || !s_.persistent || shared_.draining || unread || s_.interim;
  const bool is_grpc = (s_.identity.flags & kGrpc) != 0;
  s_.status = is_grpc ? 200 : response->status;
  if (is_grpc) s_.grpc_status = GrpcStatusOf(*response);
  s_.outcome_flags |= kSyntheticResponse;
  s_.head_us = shared_.loop.now_us();
  s_.response_begun = true;
  shared_.written_head.clear();
  WriteSynthetic(*response, {.grpc = is_grpc, .head = s_.expected.head, .http10 = s_.http10, .close = closes},
                 shared_.written_head);
  if (!is_grpc && !s_.expected.head) s_.response_bytes = response->body.size();
  s_.client->stream().Write(shared_.written_head);
  End(ending, detail, closes ? Next::kFinish : Next::kRequest);
}

void Exchange::End(Ending ending, uint32_t detail, Next next) {
  if (std::exchange(s_.ended, true)) return;
  Timer::Unlink();
  DropUpstream(true);
  FillOutcome(ending, detail);
  shared_.decisions->OnResponse(*shared_.record);
  ServerConnection& client = *s_.client;
  shared_.exchanges.GiveBack(*this);
  switch (next) {
    case Next::kRequest:
      return client.NextRequest();
    case Next::kFinish:
      return client.Finish();
    case Next::kReset:
      return client.Close(ReasonOf(ending), static_cast<int>(detail));
    case Next::kNothing:
      return;
  }
}

void Exchange::ClientGone(Ending ending, uint32_t detail) { End(ending, detail, Next::kNothing); }

void Exchange::Revoke() { Fail(Ending::kRevoked, 0); }

void Exchange::ScheduleNext() {
  const RequestDecision& decision = s_.decision;
  int64_t due_us = TimerWheel::kNever;
  const auto by = [&due_us](int64_t from_us, uint32_t within_ms) {
    if (within_ms != 0) due_us = std::min(due_us, from_us + int64_t{within_ms} * 1000);
  };
  if (s_.held) {
    by(s_.moved_us, decision.connect_timeout_ms);
  } else {
    if (!s_.upgraded) by(s_.began_us, decision.request_timeout_ms);
    by(s_.moved_us, decision.idle_timeout_ms);
    if (s_.request_done && !s_.response_begun) by(s_.forwarded_us, decision.response_timeout_ms);
  }
  if (due_us != TimerWheel::kNever) shared_.loop.Schedule(*this, due_us);
}

// Bytes that move do not touch the timer: it looks when it expires.
void Exchange::Expired() {
  const RequestDecision& decision = s_.decision;
  const int64_t now_us = shared_.loop.now_us();
  const auto is_over = [now_us](int64_t from_us, uint32_t within_ms) {
    return within_ms != 0 && now_us - from_us >= int64_t{within_ms} * 1000;
  };
  if (s_.held) {
    if (is_over(s_.moved_us, decision.connect_timeout_ms)) return Fail(Ending::kHoldTimeout, ETIMEDOUT);
    return ScheduleNext();
  }
  if (!s_.upgraded && is_over(s_.began_us, decision.request_timeout_ms))
    return Fail(Ending::kRequestTimeout, ETIMEDOUT);
  if (is_over(s_.moved_us, decision.idle_timeout_ms)) return Fail(Ending::kIdleTimeout, ETIMEDOUT);
  if (s_.request_done && !s_.response_begun && is_over(s_.forwarded_us, decision.response_timeout_ms)) {
    return Fail(Ending::kResponseTimeout, ETIMEDOUT);
  }
  ScheduleNext();
}

}  // namespace weft::core::http
