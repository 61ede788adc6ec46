// One connection to a peer that is made only to learn whether it can be: whether the network lets it pass, and whether
// the peer that answers is the expected one. It looks like the beginning of a tunnel, to the network and to the peer.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "dial.h"
#include "list.h"
#include "secure_link.h"

namespace weft::core {

enum class ProbeResult : uint8_t {
  kPassed,
  kFailed,
  // There was no socket or no port of ours to try with; or the network let it pass, but nobody answered in time.
  kUndecided,
};

class Probe;

class ProbeOwner {
 public:
  // Told once, from the loop.
  virtual void ProbeDone(Probe& probe, ProbeResult result) = 0;
  // Told once, after the result unless it was cancelled. The probe may be retired from the loop now.
  virtual void ProbeEnded(Probe& probe) = 0;

 protected:
  ~ProbeOwner() = default;
};

struct ProbeContext {
  DialContext dial;
  tls::Buffers& buffers;
  std::span<std::byte> received;
  ProbeOwner& owner;
};

class Probe final : public Retired, public Link<Probe>, private DialEvents, private SecureLinkEvents, private Timer {
 public:
  Probe(const ProbeContext& context, uint32_t number)
      : context_(context), number_(number), dial_(context.dial, *this) {}

  // Dials from the pod; the peer must prove the name. Without credentials it stays undecided.
  void Start(uint32_t pod, const Endpoint& peer, std::shared_ptr<const tls::Context> credentials,
             const std::string& expected_name, uint32_t timeout_ms);
  void Cancel();

  uint32_t number() const { return number_; }

 private:
  void Dialed(Descriptor socket, bool watched) override;
  void DialFailed(int error) override;
  void Established() override;
  void Readable() override;
  void Writable() override {}
  void LinkFailed(const tls::Failure& failure) override;
  void Expired() override;

  void Finish(ProbeResult result);
  void Report(ProbeResult result);
  EventLoop& loop() const { return context_.dial.loop; }

  const ProbeContext& context_;
  const uint32_t number_;
  Dial dial_;
  std::unique_ptr<SecureLink> link_;
  std::shared_ptr<const tls::Context> credentials_;
  std::string expected_name_;
  int64_t deadline_us_ = 0;
  ProbeResult result_ = ProbeResult::kFailed;
  bool starting_ = false;
  bool finished_ = false;
  bool reported_ = false;
  bool ended_ = false;
};

}  // namespace weft::core
