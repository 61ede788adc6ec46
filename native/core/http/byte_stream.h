// What an HTTP connection reads from and writes to: a socket, or a peer's stream. What cannot be used at once is kept:
// bytes that its user has left unread, and bytes that do not go out now. While idle it holds no memory.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "../backlog.h"
#include "../event_loop.h"

namespace weft::core::http {

// Called from the loop only, never by a method of the stream.
class ByteStreamEvents {
 public:
  // It may be used from now on. Only of one that was being opened.
  virtual void Began() {}
  // Returns how many it has taken from the front; the rest is shown again. Who wants no more pauses the stream. The
  // bytes are there until it returns.
  virtual size_t Received(std::string_view bytes) = 0;
  // The peer has finished, after all its bytes.
  virtual void ReceivedEnd() = 0;
  // Only of a peer's stream: the next message shall not come by it.
  virtual void PeerLeaves() {}
  // The stream was blocked, and all that was kept has gone out.
  virtual void Drained() = 0;
  // The stream has ended; nothing comes any more.
  virtual void Failed(int error) = 0;

 protected:
  ~ByteStreamEvents() = default;
};

class ByteStream : protected Task {
 public:
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  // A stream begins paused.
  void set_events(ByteStreamEvents& events) { events_ = &events; }
  void Pause() { paused_ = true; }
  void Resume();
  // Fails as soon as the peer has reset it, also while it is paused. Otherwise what it has sent is read first.
  void FailEarly() { fails_early_ = true; }

  // Takes all of it. Who goes on while it is blocked makes it keep more.
  virtual void Write(std::span<const std::string_view> parts) = 0;
  void Write(std::string_view part) { Write(std::span(&part, 1)); }
  bool blocked() const { return !kept_.empty(); }
  // Behind all that was written.
  virtual void Finish() = 0;
  // No event comes any more.
  virtual void Close(bool reset) = 0;

  bool closed() const { return closed_; }
  bool ended() const { return ended_; }
  // Close() now loses nothing of what was written.
  virtual bool ClosesCleanly() const = 0;
  bool has_unread() const { return !unread_.empty(); }
  // Nothing has come since it was read last, not even an end.
  virtual bool IsQuiet() const = 0;
  // As far as can be known now, an idle one may still be used.
  virtual bool IsAlive() const = 0;
  uint64_t received() const { return received_; }
  uint64_t sent() const { return sent_; }

 protected:
  explicit ByteStream(EventLoop& loop) : loop_(loop) {}

  // Reads what there is, and shows it by Deliver(), until it is paused.
  virtual void Read() = 0;
  // So many bytes are not needed any more.
  virtual void Consumed(size_t bytes) = 0;

  void Run() override;
  void Advance();
  // Takes the bytes, which are the next ones. Nothing else is unread.
  void Deliver(std::string_view bytes);
  void DeliverUnread();
  void DeliverEnd();
  // Closes and tells.
  void Fail(int error);

  EventLoop& loop_;
  ByteStreamEvents* events_ = nullptr;
  Backlog unread_;
  Backlog kept_;
  uint64_t received_ = 0;
  uint64_t sent_ = 0;
  bool closed_ = false;
  bool paused_ = true;
  bool ended_ = false;  // the peer has finished
  bool end_told_ = false;
  bool fails_early_ = false;
};

}  // namespace weft::core::http
