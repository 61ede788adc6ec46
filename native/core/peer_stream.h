// The bytes of one connection on their way to and from a peer: a stream of a tunnel, or a TLS connection of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace weft::core {

class PeerStreamEvents {
 public:
  // The stream may be used from now on.
  virtual void Began() = 0;
  // Bytes from the peer, to be taken whole. The peer sends on as far as they are Consumed().
  virtual void Arrived(std::span<const std::byte> bytes) = 0;
  // Reserve() had no room, and has some now.
  virtual void HasRoom() = 0;
  virtual void PeerFinished() = 0;
  // Whatever follows what is under way shall come by another connection.
  virtual void PeerLeaves() {}
  // The stream is gone, and so must be every reference to it. `error`: an errno, 0 where the peer reset the stream.
  virtual void PeerReset(int error) = 0;

 protected:
  ~PeerStreamEvents() = default;
};

class PeerStream {
 public:
  // Where bytes for the peer can be written to; empty: not now, HasRoom() will tell. Valid until Commit(), which must
  // follow in the same turn of the loop and may be of fewer bytes, or none.
  virtual std::span<std::byte> Reserve() = 0;
  virtual void Commit(size_t bytes) = 0;
  virtual void Consumed(size_t bytes) = 0;
  virtual void Finish() = 0;
  // Who takes the events from now on.
  virtual void HandOver(PeerStreamEvents& events) = 0;
  // Either ends the use of the stream: no event comes any more. Release() when both sides have finished.
  virtual void Reset() = 0;
  virtual void Release() = 0;

 protected:
  ~PeerStream() = default;
};

}  // namespace weft::core
