// One connection of an app, in one of the stages that it passes through. Each stage is an object of its own; what
// stays is the identity.
#pragma once

#include "connection_record.h"
#include "descriptor.h"
#include "event_loop.h"
#include "list.h"

namespace weft::core {

class Connection : public Retired, public Link<Connection> {
 public:
  Connection(const Identity& identity, int64_t accepted_us) : identity_(identity), accepted_us_(accepted_us) {}

  const Identity& identity() const { return identity_; }
  int64_t accepted_us() const { return accepted_us_; }
  // Ends it with RST.
  virtual void ShutDown(CloseReason reason) = 0;
  // Of a connection that has ended.
  virtual Outcome outcome() const = 0;

 protected:
  Identity identity_;
  const int64_t accepted_us_;
};

class ConnectionOwner {
 public:
  // Told once. The connection may be retired now.
  virtual void Closed(Connection& connection) = 0;

 protected:
  ~ConnectionOwner() = default;
};

}  // namespace weft::core
