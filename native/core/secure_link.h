// A TLS connection in the loop: the handshake with its deadline, then reading and writing.
#pragma once

#include <memory>
#include <string>

#include "descriptor.h"
#include "event_loop.h"
#include "tls/connection.h"

namespace weft::core {

class SecureLinkEvents {
 public:
  // The peer is verified: tls().peer(), tls().protocol().
  virtual void Established() = 0;
  virtual void Readable() = 0;
  // What Write() kept is sent.
  virtual void Writable() = 0;
  virtual void LinkFailed(const tls::Failure& failure) = 0;

 protected:
  ~SecureLinkEvents() = default;
};

class SecureLink final : private Watcher, private Timer {
 public:
  SecureLink(EventLoop& loop, SecureLinkEvents& events) : loop_(loop), events_(&events) {}
  ~SecureLink() { Close(false); }

  // Each begins the handshake, which may end before they return. Buffers and protocols outlive the link.
  void Accept(std::shared_ptr<const tls::Context> context, tls::Buffers& buffers, Descriptor socket,
              const tls::Protocols& protocols, int64_t deadline_us);
  // `watched`: the socket is in the loop already, with another watcher.
  void Connect(std::shared_ptr<const tls::Context> context, tls::Buffers& buffers, Descriptor socket, bool watched,
               const tls::Protocols& protocols, const std::string& expected_name, int64_t deadline_us);
  // With close_notify, or with RST. No event comes any more.
  void Close(bool reset);

  // Who takes over an established connection.
  void HandOver(SecureLinkEvents& events) { events_ = &events; }

  bool open() const { return tls_ != nullptr; }
  tls::Connection& tls() { return *tls_; }
  int socket() const { return socket_.get(); }

 private:
  void Begin(bool watched, int64_t deadline_us);
  void Ready(uint32_t events) override;
  void Expired() override;
  void Shake();
  void Fail(const tls::Failure& failure);
  void DrainUnread();

  EventLoop& loop_;
  SecureLinkEvents* events_;
  Descriptor socket_;
  std::unique_ptr<tls::Connection> tls_;
  bool watched_ = false;
  bool established_ = false;
};

}  // namespace weft::core
