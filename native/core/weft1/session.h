// One weft/1 connection (docs/wire.md) without its socket: bytes in, events out, bytes to send. Only the client opens
// streams. Flow control is per stream; what may be held for one connection is bounded by its streams' windows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "../list.h"
#include "frame.h"
#include "output.h"

namespace weft::core::weft1 {

enum class Role : uint8_t { kClient, kServer };

struct Limits {
  uint32_t max_streams = 256;       // that the peer may have open at once; a server takes 256 at least
  uint64_t max_windows = 32 << 20;  // of all streams together: none grows beyond
};

class Session;

class Stream final : public Link<Stream> {
 public:
  uint32_t id() const { return id_; }
  // The user's; nothing here looks at it.
  void* context = nullptr;

 private:
  friend class Session;
  explicit Stream(uint32_t id) : id_(id) {}

  const uint32_t id_;
  uint32_t send_window_ = kInitialWindow;
  uint32_t window_ = kInitialWindow;          // what the peer may have under way at most
  uint32_t receive_window_ = kInitialWindow;  // what it may still send
  uint32_t held_ = 0;                         // what the user has been given and has not consumed
  uint32_t consumed_ = 0;                     // and not given back yet
  uint32_t queued_ = 0;                       // in the output since round_
  uint32_t round_ = 0;
  int64_t credited_us_ = 0;
  bool finished_ = false;
  bool peer_finished_ = false;
};

// Called inside Receive() and Written(). May call the session and end streams, but not destroy the session.
class SessionEvents {
 public:
  // Of a server.
  virtual void OnOpen(Stream& stream, const OpenRequest& request) = 0;
  virtual void OnData(Stream& stream, std::span<const std::byte> bytes) = 0;
  // Reserve() had no room, and may have some now.
  virtual void OnRoom(Stream& stream) = 0;
  virtual void OnFin(Stream& stream) = 0;
  // The stream is gone when this returns: it must be neither released nor reset.
  virtual void OnReset(Stream& stream, ErrorCode code) = 0;
  // The peer asks for no more streams.
  virtual void OnGoAway() = 0;
  // There is something to send where nothing was. It is not complete yet: nothing of the session may be called.
  virtual void OnOutput() = 0;

 protected:
  ~SessionEvents() = default;
};

class Session {
 public:
  static constexpr int64_t kNever = INT64_MAX;

  Session(Role role, const Limits& limits, SessionEvents& events);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // All that arrived, split anywhere. Anything but kNone ends the connection: streams are left as they are.
  ErrorCode Receive(std::span<const std::byte> bytes, int64_t now_us);

  std::span<const std::byte> output() const { return output_.bytes(); }
  void Written(size_t bytes);
  void FreeMemory() { output_.Free(); }

  // Of a client. Null: as many streams are open as may be, the peer goes away, or it does not read.
  Stream* Open(const OpenRequest& request);
  size_t open_streams() const { return streams_.size(); }
  bool can_open() const;
  // Of a server: asks the client to open no more. What comes from this time on is refused; some may be on their way.
  // May be called again: the earliest time counts.
  void GoAway(int64_t refuses_from_us = kNever);

  // Where data can be written to; empty: OnRoom() will tell. Nothing else of the session may be called before
  // Commit(), which may be of fewer bytes or none.
  std::span<std::byte> Reserve(Stream& stream);
  void Commit(Stream& stream, size_t bytes);
  // The user is done with so many bytes that OnData() gave.
  void Consumed(Stream& stream, size_t bytes, int64_t now_us);
  // No more data from here.
  void Finish(Stream& stream);
  // Either ends the use of a stream, which is gone then: of one that both sides have finished, or of any.
  void Release(Stream& stream) { Remove(stream); }
  void Reset(Stream& stream, ErrorCode code);
  // Streams may be ended meanwhile.
  template <typename Visit>
  void ForEach(Visit visit) {
    std::vector<uint32_t> ids;
    for (const auto& [id, stream] : streams_) ids.push_back(id);
    for (const uint32_t id : ids) {
      if (Stream* const stream = Find(id)) visit(*stream);
    }
  }
  // The connection is over: every stream is shown once more, and gone. Those not shown yet may be ended meanwhile.
  template <typename Visit>
  void EndAll(Visit visit) {
    ended_ = true;
    receiving_ = nullptr;
    while (!streams_.empty()) {
      const auto shown = streams_.extract(streams_.begin());
      visit(*shown.mapped());
    }
  }

 private:
  ErrorCode Begin(const Header& header);
  ErrorCode HandleControl();
  ErrorCode HandleHello();
  ErrorCode HandleOpen(uint32_t id);
  ErrorCode HandleCredit(Stream& stream);
  Stream* Find(uint32_t id);
  void Remove(Stream& stream);
  std::byte* Put(FrameType type, uint32_t stream, uint32_t length);
  bool IsFlood();

  const Role role_;
  const Limits limits_;
  SessionEvents& events_;
  Output output_;
  std::unordered_map<uint32_t, std::unique_ptr<Stream>> streams_;
  List<Stream, Stream> waiting_;  // for room in the output
  uint64_t windows_ = 0;
  uint32_t last_stream_ = 0;  // opened
  uint32_t peer_max_streams_;
  uint32_t round_ = 0;     // of shares in the output
  size_t round_left_ = 0;  // of the output, to be written in this round
  int64_t now_us_ = 0;     // of the last Receive()
  int64_t refuses_from_us_ = kNever;
  int64_t control_due_us_ = 0;  // when the control frames that came would be due at the rate allowed

  std::byte partial_[kMaxControlBytes];  // of a header, or of a control frame's payload
  uint32_t partial_bytes_ = 0;
  Header header_{};
  uint32_t payload_left_ = 0;
  Stream* receiving_ = nullptr;  // the payload; null: it is gone
  bool in_payload_ = false;
  bool greeted_ = false;
  bool going_away_ = false;
  bool gone_away_ = false;
  bool ended_ = false;
  bool serves_waiting_ = false;
};

}  // namespace weft::core::weft1
