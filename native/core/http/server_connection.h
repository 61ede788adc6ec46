// A client's connection that HTTP/1 is read from, one exchange at a time: requests that follow wait unread.
#pragma once

#include <memory>

#include "../connection.h"
#include "../http1/reader.h"
#include "byte_stream.h"
#include "shared.h"

namespace weft::core::http {

class Exchange;

class ServerConnection final : public Connection, private ByteStreamEvents, private Timer {
 public:
  ServerConnection(Shared& shared, const Identity& identity, int64_t accepted_us, const Decision& decision,
                   std::unique_ptr<ByteStream> stream);

  void Begin();
  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;

  // Of its exchange.
  ByteStream& stream() { return *stream_; }
  http1::RequestReader& reader() { return reader_; }
  uint32_t http_context() const { return http_context_; }
  // The exchange is over.
  void NextRequest();
  // No more requests are read; what was written is sent.
  void Finish();
  void Close(CloseReason reason, int error);
  // Reads on from where the exchange could take no more.
  void Continue();

 private:
  size_t Received(std::string_view bytes) override;
  void ReceivedEnd() override;
  void Drained() override;
  void Failed(int error) override;
  void Expired() override;
  int64_t DueUs() const;
  void ScheduleIdle();

  Shared& shared_;
  std::unique_ptr<ByteStream> stream_;
  http1::RequestReader reader_;
  Exchange* exchange_ = nullptr;
  uint64_t sent_seen_ = 0;
  int64_t used_us_;
  int64_t head_began_us_ = 0;  // of a head that is not complete yet
  int64_t closed_us_ = 0;
  const uint32_t http_context_;
  const uint32_t idle_timeout_ms_;
  uint32_t error_ = 0;
  CloseReason reason_ = CloseReason::kError;
  bool ended_ = false;  // the client has finished
  bool lingering_ = false;
  bool closed_ = false;
};

}  // namespace weft::core::http
