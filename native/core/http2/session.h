// One HTTP/2 connection without its socket, on nghttp2: bytes in, events out, bytes to send. ServerSession and
// ClientSession (their headers) add who opens streams.
//
// Flow control is per stream and end to end: OnBody() gives bytes that the peer gets back as window when Consumed() is
// called, and OnSent() says that bytes of Write() are on their way. Who forwards calls Consumed() of the one stream in
// OnSent() of the other: a slow reader then holds up its own stream only, and what is held of it is one window.
//
// Lifetimes. Heads and bodies are the event's: who decides later must copy. A stream is gone when OnClosed() or
// OnReset() returns, and after Reset().
//
// Malformed messages (RFC 9113, 8.1.1) end their stream with PROTOCOL_ERROR, and violations the connection, mostly
// without an event of their own. An abusive peer (limits.h) gets GOAWAY with ENHANCE_YOUR_CALM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "../http1/error.h"
#include "block_pool.h"
#include "error_code.h"
#include "flood_guard.h"
#include "frame_inspector.h"
#include "head.h"
#include "limits.h"
#include "stream.h"

struct nghttp2_session;

namespace weft::core::http2 {

// Called inside Receive() and Output(), except OnOutput(). They may call the session, but neither Receive() nor
// Output(), nor destroy it.
class SessionEvents {
 public:
  // A request of a server, a response, interim ones included, of a client. `head.ends`: OnEnd() follows.
  virtual void OnHead(Stream& stream, const Head& head) = 0;
  // Of a server: a request that is not understood. To be answered with Status(error), or reset; what follows of it is
  // not shown.
  virtual void OnRefused(Stream& stream, http1::Error error) = 0;
  // Never empty.
  virtual void OnBody(Stream& stream, std::span<const std::byte> bytes) = 0;
  virtual void OnTrailers(Stream& stream, const Head& trailers) = 0;
  // The peer's message is complete.
  virtual void OnEnd(Stream& stream) = 0;
  // So many bytes of Write() have left. Write() may take more.
  virtual void OnSent(Stream& stream, size_t bytes) = 0;
  // Both messages are complete, and ours has left.
  virtual void OnClosed(Stream& stream) = 0;
  // The peer ends the stream, or is made to: what it sent was malformed. A client may repeat a request that the peer
  // has refused (kRefusedStream).
  virtual void OnReset(Stream& stream, ErrorCode code, bool by_peer) = 0;
  // The peer takes no more streams, or opens none.
  virtual void OnGoAway(ErrorCode code) = 0;
  // There is something to send where nothing was. Nothing of the session may be called.
  virtual void OnOutput() = 0;

 protected:
  ~SessionEvents() = default;
};

class Session {
 public:
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // All that arrived, split anywhere; all of it is taken. False: the connection has failed (error()). What is to be
  // sent should be, and then it must be closed.
  bool Receive(std::span<const std::byte> bytes, int64_t now_us);
  // Fills the buffer, which is of kMinOutput at least, with frames. To be called until it gives none: 0.
  static constexpr size_t kMinOutput = 1024;
  size_t Output(std::span<std::byte> into);
  bool has_output() const;
  // Nothing will be received or sent any more.
  bool over() const;
  // Of the connection: ours, if it has failed here, or the peer's.
  ErrorCode error() const { return error_; }

  // How much Write() takes. It keeps a copy.
  size_t room(const Stream& stream) const;
  size_t Write(Stream& stream, std::span<const std::byte> bytes);
  // Our message ends with what was written, and with trailers.
  void Finish(Stream& stream);
  void FinishWith(Stream& stream, const Head& trailers);
  // The user is done with so many bytes that OnBody() gave.
  void Consumed(Stream& stream, size_t bytes);
  // What the peer still sends of its message is not wanted. Once ours is complete, the stream is ended.
  void StopReading(Stream& stream);
  // The stream is gone at once.
  void Reset(Stream& stream, ErrorCode code);
  size_t open_streams() const { return open_streams_; }

  // No new streams; over() once those that are open have ended. A server first tells the client, and serves what was on
  // its way when it heard.
  void Drain();
  bool draining() const { return draining_; }
  // The peer has said what it takes.
  bool has_settings() const { return has_settings_; }
  // The connection is to end now, with the reason as its last word.
  void Fail(ErrorCode code);
  // The connection is over: every stream is shown once more, and gone.
  template <typename Visit>
  void EndAll(Visit visit) {
    while (!streams_.empty()) {
      const std::unique_ptr<Stream> stream(&streams_.front());
      Detach(*stream);
      visit(*stream);
    }
  }

  // When OnTime() wants to be called; 0: not before something is received.
  int64_t deadline_us() const;
  // False: the peer has not answered a PING in time. The connection is dead.
  bool OnTime(int64_t now_us);

 protected:
  enum class Role : uint8_t { kServer, kClient };
  Session(Role role, const Limits& limits, SessionEvents& events);
  ~Session();

  bool SubmitHead(Stream& stream, const Head& head);
  Stream& Adopt(int32_t id);
  void Abandon(Stream& stream);  // that was never shown
  void Announce();

  const Role role_;
  const Limits limits_;
  SessionEvents& events_;
  const std::shared_ptr<BlockPool> blocks_ = BlockPool::OfThisThread();  // of the library
  nghttp2_session* session_ = nullptr;
  bool draining_ = false;
  bool failed_ = false;

 private:
  friend class Callbacks;

  void Detach(Stream& stream);
  void Resume(Stream& stream);
  void GrowWindow(Stream& stream);
  void SubmitReset(Stream& stream, ErrorCode code);
  void SubmitPing(bool of_drain);
  static bool IsOfDrain(const uint8_t* payload);

  FloodGuard guard_;
  FrameInspector inspector_;
  List<Stream, Stream> streams_;
  size_t open_streams_ = 0;
  uint64_t growth_ = 0;  // of all windows
  ErrorCode error_ = ErrorCode::kNoError;

  // The head that is being received: blocks of a connection never interleave.
  Head head_;
  uint64_t head_bytes_ = 0;
  uint32_t head_fields_ = 0;
  http1::Error head_error_ = http1::Error::kNone;

  std::span<std::byte> out_;
  size_t filled_ = 0;
  std::span<const uint8_t> frame_;  // what is left of the one that did not fit
  bool announced_ = false;
  bool has_settings_ = false;

  int64_t now_us_ = 0;
  int64_t received_us_ = 0;
  int64_t pinged_us_ = 0;  // 0: no answer is due
};

}  // namespace weft::core::http2
