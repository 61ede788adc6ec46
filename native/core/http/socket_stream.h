#pragma once

#include <span>

#include "../descriptor.h"
#include "byte_stream.h"

namespace weft::core::http {

class SocketStream final : public ByteStream, private Watcher {
 public:
  // Whether another process may hold a duplicate of the socket.
  enum class Holders : uint8_t { kUs, kOthersToo };

  // What is read lies in the buffer, which all streams of a loop may share.
  SocketStream(EventLoop& loop, std::span<char> buffer, Descriptor socket, Holders holders);
  ~SocketStream() override { Close(false); }

  // Once. `watched`: the socket is in the loop already, with another watcher. false, with errno: the loop takes no
  // more.
  bool Watch(bool watched);

  using ByteStream::Write;
  void Write(std::span<const std::string_view> parts) override;
  void Finish() override;
  void Close(bool reset) override;
  // Bytes left unread would turn the FIN into a RST, which may overtake what was written.
  bool ClosesCleanly() const override { return !blocked() && IsQuiet(); }
  bool IsQuiet() const override;
  bool IsAlive() const override;

 private:
  void Read() override;
  void Consumed(size_t /*bytes*/) override {}
  void Ready(uint32_t events) override;
  void Run() override;
  ssize_t Send(std::span<const std::string_view> parts);
  void Flush();
  void WriteFailed(int error);

  const std::span<char> buffer_;
  Descriptor socket_;
  const Holders holders_;
  int write_error_ = 0;
  bool watched_ = false;
  bool watches_room_ = false;
  bool readable_ = true;
  bool read_to_end_ = false;
  bool finishing_ = false;
};

}  // namespace weft::core::http
