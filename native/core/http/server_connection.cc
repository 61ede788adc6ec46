#include "server_connection.h"

#include <cerrno>
#include <utility>

#include "exchange.h"

namespace weft::core::http {
namespace {

// For the client to take the last response, and to close: RFC 9112, 9.6.
constexpr int64_t kLingerUs = 3'000'000;
constexpr int64_t kLingerBlockedUs = 30'000'000;
// For a head that has begun to be complete.
constexpr int64_t kHeadUs = 30'000'000;

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

Ending EndingOf(CloseReason reason) {
  switch (reason) {
    case CloseReason::kShutdown:
      return Ending::kShutdown;
    case CloseReason::kRevoked:
      return Ending::kRevoked;
    default:
      return Ending::kClientReset;
  }
}

}  // namespace

ServerConnection::ServerConnection(Shared& shared, const Identity& identity, int64_t accepted_us,
                                   const Decision& decision, std::unique_ptr<ByteStream> stream)
    : Connection(identity, accepted_us),
      shared_(shared),
      stream_(std::move(stream)),
      reader_(shared.limits, shared.request_head),
      used_us_(shared.loop.now_us()),
      http_context_(decision.http_context),
      idle_timeout_ms_(decision.idle_timeout_ms) {
  stream_->set_events(*this);
  stream_->FailEarly();
}

void ServerConnection::Begin() {
  ScheduleIdle();
  stream_->Resume();
}

size_t ServerConnection::Received(std::string_view bytes) {
  used_us_ = shared_.loop.now_us();
  std::string_view input = bytes;
  while (!closed_ && !lingering_) {
    if (exchange_ != nullptr) {
      if (!exchange_->TakesRequest()) {
        stream_->Pause();
        return bytes.size() - input.size();
      }
      ReadRequest(input);
      if (input.empty() && exchange_ != nullptr && exchange_->TakesRequest()) break;
      continue;
    }
    if (stream_->blocked()) {
      stream_->Pause();
      return bytes.size() - input.size();
    }
    switch (reader_.Read(input)) {
      case http1::Event::kHead:
        head_began_us_ = 0;
        http10_ = reader_.head().http10;
        persistent_ = reader_.head().persistent;
        sends_no_more_ = !persistent_;
        BeginExchange().Begin(*this, reader_.head());
        // What has come behind the head would have to be kept.
        if (!input.empty()) {
          receiving_ = true;
          shared_.exchanges.AskNow();
          receiving_ = false;
        }
        break;
      case http1::Event::kError:
        http10_ = persistent_ = sends_no_more_ = false;
        BeginExchange().BeginInvalid(*this, reader_.error());
        break;
      case http1::Event::kHeld:
        reader_.Stay();
        break;
      case http1::Event::kEnd:  // of a request that was answered at once
        break;
      case http1::Event::kNeedMore:
      case http1::Event::kOver:
        if (reader_.begun() && head_began_us_ == 0) {
          head_began_us_ = used_us_;
          ScheduleIdle();
        }
        return bytes.size();
      case http1::Event::kBody:
      case http1::Event::kTunnel:
        Close(CloseReason::kError, EPROTO);
        break;
    }
  }
  return bytes.size();
}

Exchange& ServerConnection::BeginExchange() {
  chunked_ = interim_ = switched_ = closes_ = false;
  exchange_ = &shared_.exchanges.Take();
  return *exchange_;
}

// Takes all of the input, or all of the request.
void ServerConnection::ReadRequest(std::string_view& input) {
  Exchange& exchange = *exchange_;
  if (!exchange.GoOnWithRequest()) return;
  while (true) {
    switch (reader_.Read(input)) {
      case http1::Event::kBody:
        exchange.RequestBody(reader_.body());
        continue;
      case http1::Event::kEnd:
        return exchange.RequestEnd(reader_.trailers());
      case http1::Event::kTunnel:
        if (!input.empty()) exchange.RequestBody(std::exchange(input, {}));
        return exchange.FlushRequest();
      case http1::Event::kError:
        return exchange.RequestInvalid(reader_.error());
      default:
        return exchange.FlushRequest();
    }
  }
}

void ServerConnection::Continue() {
  if (closed_ || exchange_ == nullptr || receiving_) return;
  if (!stream_->has_unread() && exchange_->TakesRequest()) {
    std::string_view nothing;
    ReadRequest(nothing);
  }
  if (!closed_ && exchange_ != nullptr && exchange_->TakesRequest()) stream_->Resume();
}

void ServerConnection::Completed(bool unread) {
  if (!closes_ && !unread) return NextRequest();
  if (unread) sends_no_more_ = false;
  Finish();
}

void ServerConnection::Aborted(Ending ending, uint32_t detail) {
  exchange_ = nullptr;
  Close(ReasonOf(ending), static_cast<int>(detail));
}

void ServerConnection::NextRequest() {
  exchange_ = nullptr;
  if (closed_) return;
  if (ended_) return Finish();
  used_us_ = shared_.loop.now_us();
  if (!Timer::linked()) ScheduleIdle();
  if (!stream_->blocked()) stream_->Resume();
}

void ServerConnection::Finish() {
  exchange_ = nullptr;
  if (closed_ || lingering_) return;
  lingering_ = true;
  if ((ended_ || sends_no_more_) && stream_->ClosesCleanly()) return Close(CloseReason::kFinished, 0);
  sent_seen_ = stream_->sent();
  shared_.loop.Schedule(*this, shared_.loop.now_us() + (stream_->blocked() ? kLingerBlockedUs : kLingerUs));
  stream_->Finish();
  stream_->Resume();
}

void ServerConnection::ReceivedEnd() {
  if (lingering_) {
    if (!stream_->blocked()) Close(CloseReason::kFinished, 0);
    return;
  }
  if (exchange_ != nullptr && exchange_->upgraded()) return exchange_->ClientFinished();
  if (reader_.ReadEnd() == http1::Event::kError) return Close(CloseReason::kResetByClient, 0);
  ended_ = true;
  if (exchange_ == nullptr) Close(CloseReason::kFinished, 0);
}

void ServerConnection::Drained() {
  if (lingering_) {
    if (stream_->ended()) Close(CloseReason::kFinished, 0);
    return;
  }
  if (exchange_ == nullptr) return stream_->Resume();
  exchange_->ResponseTaken(kAllTaken);
  exchange_->ClientDrained();
}

void ServerConnection::Failed(int error) {
  // A client that closes a connection on which nothing is under way has done nothing wrong.
  if (lingering_ && !stream_->blocked()) return Close(CloseReason::kFinished, 0);
  Close(CloseReason::kResetByClient, error);
}

int64_t ServerConnection::DueUs() const {
  if (head_began_us_ != 0) return head_began_us_ + kHeadUs;
  return idle_timeout_ms_ != 0 ? used_us_ + int64_t{idle_timeout_ms_} * 1000 : TimerWheel::kNever;
}

void ServerConnection::ScheduleIdle() {
  if (const int64_t due_us = DueUs(); due_us != TimerWheel::kNever) shared_.loop.Schedule(*this, due_us);
}

// Requests do not touch the timer: it looks when it expires. While one is under way its own timer counts.
void ServerConnection::Expired() {
  const int64_t now_us = shared_.loop.now_us();
  if (lingering_) {
    if (stream_->blocked() && std::exchange(sent_seen_, stream_->sent()) != stream_->sent()) {
      return shared_.loop.Schedule(*this, now_us + kLingerBlockedUs);
    }
    return Close(stream_->blocked() ? CloseReason::kIdleTimeout : CloseReason::kFinished, 0);
  }
  if (exchange_ != nullptr) return;
  if (now_us < DueUs()) return ScheduleIdle();
  Close(head_began_us_ != 0 ? CloseReason::kIdleTimeout : CloseReason::kFinished, 0);
}

void ServerConnection::Close(CloseReason reason, int error) {
  if (std::exchange(closed_, true)) return;
  reason_ = reason;
  error_ = static_cast<uint32_t>(error);
  closed_us_ = shared_.loop.now_us();
  Timer::Unlink();
  Exchange* const exchange = std::exchange(exchange_, nullptr);
  if (exchange != nullptr) exchange->ClientGone(EndingOf(reason), error_);
  // What nobody has asked for is not cut off.
  const bool rests = exchange == nullptr && !lingering_ && reason == CloseReason::kShutdown;
  shared_.to_clients.Drop(*stream_);
  stream_->Close(reason != CloseReason::kFinished && !rests);
  shared_.EndConnectionsOf(identity_);
  shared_.owner.Closed(*this);
}

Outcome ServerConnection::outcome() const {
  return {reason_, error_, static_cast<double>(stream_->received()), static_cast<double>(stream_->sent()),
          static_cast<double>(closed_us_ - accepted_us_) / 1000};
}

}  // namespace weft::core::http
