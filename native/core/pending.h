// A connection that a decision is not there for yet: its first bytes are looked at, or TypeScript has asked for time.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>

#include "connection.h"
#include "names.h"

namespace weft::core {

class Pending;

class Classifier {
 public:
  // The first bytes are classified: identity().detected. TakeSocket() and retire it.
  virtual void Classified(Pending& pending) = 0;

 protected:
  ~Classifier() = default;
};

struct PendingContext {
  EventLoop& loop;
  Names& names;
  std::span<std::byte> buffer;  // what is looked at
  std::string& server_name;     // of the ClientHello that was classified last
  ConnectionOwner& owner;
  Classifier& classifier;
};

// What the first bytes of a socket are, as far as they tell; they stay there. A name that they ask for goes into the
// identity and the context.
struct FirstBytes {
  ssize_t size;  // as of recv()
  std::optional<Detected> detected;
};
FirstBytes LookAt(const Descriptor& socket, const PendingContext& context, Identity& identity);

class Pending final : public Connection, private Watcher, private Timer {
 public:
  Pending(const PendingContext& context, const Identity& identity, int64_t accepted_us, Descriptor client);

  // Looks at the first bytes until they tell, for this long.
  void Classify(uint32_t timeout_ms);
  // Waits to be resumed; ends the connection when the time is over.
  void Hold(uint32_t timeout_ms);
  Descriptor TakeSocket();
  // Ends it with RST.
  void End(CloseReason reason, int error) { Close(reason, error); }
  // Answers its ClientHello with a fatal alert (RFC 8446, 6), and ends it with FIN.
  void EndWithAlert(uint8_t alert);

  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;

 private:
  void Ready(uint32_t events) override;
  void Expired() override;
  void Classified(Detected detected);
  void Close(CloseReason reason, int error);
  void Finish(CloseReason reason, int error);

  const PendingContext& context_;
  Descriptor client_;
  CloseReason reason_ = CloseReason::kError;
  int error_ = 0;
  bool watched_ = false;
  bool classifying_ = false;
};

}  // namespace weft::core
