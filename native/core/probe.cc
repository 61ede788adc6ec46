#include "probe.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "tunnel.h"

namespace weft::core {
namespace {

// Errors of a call that say what this side lacks, not what the network does.
bool IsShortage(int error) {
  switch (error) {
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Probe::Start(uint32_t pod, const Endpoint& peer, std::shared_ptr<const tls::Context> credentials,
                  const std::string& expected_name, uint32_t timeout_ms) {
  credentials_ = std::move(credentials);
  expected_name_ = expected_name;
  deadline_us_ = loop().now_us() + int64_t{timeout_ms} * 1000;
  loop().Schedule(*this, deadline_us_);
  starting_ = true;
  if (credentials_) {
    dial_.Start(pod, peer, nullptr);
  } else {
    Finish(ProbeResult::kUndecided);
  }
  starting_ = false;
}

void Probe::Dialed(Descriptor socket, bool watched) {
  SecureLinkEvents& events = *this;
  link_ = std::make_unique<SecureLink>(loop(), events);
  link_->Connect(std::move(credentials_), context_.buffers, std::move(socket), watched, Tunnel::kProtocols,
                 expected_name_, deadline_us_);
}

void Probe::DialFailed(int error) {
  Finish(dial_.supplied() && !IsShortage(error) ? ProbeResult::kFailed : ProbeResult::kUndecided);
}

// The peer's session tickets, which make the next probe cheap, come after the handshake: it ends when the peer has
// heard that nothing follows.
void Probe::Established() {
  if (link_->tls().protocol() != Tunnel::kProtocols.front()) return Finish(ProbeResult::kFailed);
  link_->tls().Shutdown();
  shutdown(link_->socket(), SHUT_WR);
  reported_ = true;
  context_.owner.ProbeDone(*this, ProbeResult::kPassed);
}

// An agent says next to nothing before it ends: whoever fills the room does something else.
void Probe::Readable() {
  if (link_->tls().Read(context_.received).status != tls::Status::kWantsRead) Cancel();
}

void Probe::LinkFailed(const tls::Failure& failure) {
  const bool is_undecided =
      failure.reason == tls::Reason::kSystem && (failure.detail == ETIMEDOUT || IsShortage(failure.detail));
  Finish(is_undecided ? ProbeResult::kUndecided : ProbeResult::kFailed);
}

// Whoever starts it hears of it only afterwards.
void Probe::Finish(ProbeResult result) {
  if (!starting_) return Report(result);
  result_ = result;
  finished_ = true;
  loop().Schedule(*this, loop().now_us());
}

void Probe::Expired() {
  if (finished_) return Report(result_);
  Report(dial_.supplied() && !link_ ? ProbeResult::kFailed : ProbeResult::kUndecided);
}

void Probe::Report(ProbeResult result) {
  if (!std::exchange(reported_, true)) context_.owner.ProbeDone(*this, result);
  Cancel();
}

void Probe::Cancel() {
  if (std::exchange(ended_, true)) return;
  Timer::Unlink();
  dial_.Cancel();
  if (link_) link_->Close(true);
  context_.owner.ProbeEnded(*this);
}

}  // namespace weft::core
