// One request and its response on a connection. Belongs to its session; users hold references until they are told, or
// have said, that it is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "../list.h"
#include "../weft1/output.h"
#include "head.h"

namespace weft::core::http2 {

class Stream final : public Link<Stream> {
 public:
  int32_t id() const { return id_; }
  // Of its body, not sent yet.
  size_t queued() const { return queue_.size(); }
  // Given to the user and not consumed.
  size_t held() const { return held_; }
  // The peer's side, and ours (what is queued included), is complete.
  bool received() const { return received_end_; }
  bool finished() const { return finished_; }
  // The user's; nothing here looks at it.
  void* context = nullptr;

 private:
  friend class Session;
  friend class Callbacks;
  explicit Stream(int32_t id) : id_(id) {}

  static constexpr size_t kLeastQueued = 256;  // most bodies are small, or not one write's

  int32_t id_;
  uint32_t window_ = 0;  // what the peer may have under way
  uint32_t held_ = 0;
  uint32_t consumed_ = 0;  // since the window was looked at
  weft1::Output queue_{kLeastQueued};
  std::unique_ptr<Head> trailers_;
  uint16_t interim_responses_ = 0;
  bool head_sent_ = false;
  bool head_received_ = false;  // the final one
  bool received_end_ = false;
  bool finished_ = false;
  bool sent_end_ = false;
  bool discards_ = false;  // what still comes
  bool reset_by_peer_ = false;
};

}  // namespace weft::core::http2
