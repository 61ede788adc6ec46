#include "connection.h"

#include <openssl/err.h>

#include <algorithm>
#include <ctime>
#include <new>
#include <utility>

namespace weft::core::tls {
namespace {

constexpr size_t kRecordOverhead = 5 + 1 + 16;
constexpr size_t kMinReceive = 4096;  // a ticket shall not come in morsels because the room is small
// Of messages of TLS's own, which fill no room, a peer may send any number (RFC 8446, 4.6).
constexpr size_t kMostReceived = Buffers::kReceiveBytes;

std::string WireFormat(const Protocols& protocols) {
  std::string format;
  for (const std::string& protocol : protocols) {
    format.push_back(static_cast<char>(protocol.size()));
    format += protocol;
  }
  return format;
}

void Check(bool done) {
  if (!done) throw std::bad_alloc();
}

}  // namespace

std::unique_ptr<Connection> Connection::Accept(std::shared_ptr<const Context> context, Buffers& buffers, int fd,
                                               const Protocols& protocols) {
  SSL_CTX* ssl_context = context->server();
  std::unique_ptr<Connection> connection(new Connection(std::move(context), ssl_context, buffers, fd, protocols));
  SSL_set_accept_state(connection->ssl_.get());
  return connection;
}

std::unique_ptr<Connection> Connection::Connect(std::shared_ptr<const Context> context, Buffers& buffers, int fd,
                                                const Protocols& protocols, const std::string& identity) {
  SSL_CTX* ssl_context = context->client();
  std::unique_ptr<Connection> connection(new Connection(std::move(context), ssl_context, buffers, fd, protocols));
  SSL* ssl = connection->ssl_.get();
  SSL_set_connect_state(ssl);
  Check(SSL_set_tlsext_host_name(ssl, identity.c_str()) == 1);
  if (!protocols.empty()) {
    const std::string format = WireFormat(protocols);
    Check(SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(format.data()),
                              static_cast<unsigned>(format.size())) == 0);
  }
  HandshakeState& handshake = connection->handshake_;
  handshake.expected = identity;
  handshake.sessions = connection->context_->sessions();
  if (handshake.sessions == nullptr) return connection;
  handshake.session_key = connection->context_->SessionKey(identity);
  const ClientSessions::Entry entry = handshake.sessions->Take(handshake.session_key, time(nullptr));
  if (entry.session && SSL_set_session(ssl, entry.session.get()) == 1) {
    handshake.resumed = {identity, entry.peer_not_after};
  }
  return connection;
}

Connection::Connection(std::shared_ptr<const Context> context, SSL_CTX* ssl_context, Buffers& buffers, int fd,
                       const Protocols& protocols)
    : context_(std::move(context)), buffers_(buffers), wire_(buffers, fd), ssl_(SSL_new(ssl_context)) {
  Check(ssl_ != nullptr);
  BIO* bio = wire_.MakeBio();
  Check(bio != nullptr);
  SSL_set_bio(ssl_.get(), bio, bio);
  handshake_.protocols = &protocols;
  SSL_set_app_data(ssl_.get(), &handshake_);
}

Connection::~Connection() {
  // Without it the library takes the session for a broken one.
  SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

std::string_view Connection::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

Status Connection::Handshake() {
  if (failure_.reason != Reason::kNone) return Status::kFailed;
  wire_.Begin(Buffers::kReceiveBytes);
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  Status status = result == 1 ? Status::kDone : Stopped(result);
  // Also of a failed handshake: the alert.
  if (!wire_.Flush()) status = Fail({Reason::kSystem, wire_.error()});
  wire_.End();
  if (status == Status::kEnded) return Fail({Reason::kTruncated});
  if (status == Status::kWantsRead && wire_.blocked()) return Status::kWantsWrite;
  return status == Status::kDone && !Established() ? Status::kFailed : status;
}

bool Connection::Established() {
  // A ticket that was opened may still not have been taken.
  peer_ = resumed() ? handshake_.resumed : handshake_.verified;
  const std::string_view selected = protocol();
  const Protocols& protocols = *handshake_.protocols;
  if (protocols.empty() || std::find(protocols.begin(), protocols.end(), selected) != protocols.end()) return true;
  Fail({Reason::kNoProtocol});
  return false;
}

Moved Connection::Read(std::span<std::byte> room) {
  if (failure_.reason != Reason::kNone) return {0, Status::kFailed};
  // What fits the room and no more: the rest would have to be kept.
  wire_.Begin(std::max(kMinReceive, room.size() + (room.size() / Buffers::kRecordBytes + 1) * kRecordOverhead),
              kMostReceived);
  Moved moved{0, Status::kDone};
  while (moved.bytes < room.size()) {
    ERR_clear_error();
    size_t read = 0;
    const int result = SSL_read_ex(ssl_.get(), room.data() + moved.bytes, room.size() - moved.bytes, &read);
    moved.bytes += read;
    if (result == 1) continue;
    moved.status = Stopped(result);
    break;
  }
  if (moved.status == Status::kWantsRead && wire_.sated()) moved.status = Status::kDone;
  if (moved.status == Status::kDone && wire_.drained() && SSL_pending(ssl_.get()) == 0)
    moved.status = Status::kWantsRead;
  if (!SendAnswers(moved.status)) moved.status = Fail({Reason::kSystem, wire_.error()});
  wire_.End();
  return moved;
}

// Whoever waits to write hears of room from Flush() alone: what is kept for it is not sent here.
bool Connection::SendAnswers(Status status) {
  if (buffers_.sending.empty()) return true;
  if (!wire_.blocked() || status == Status::kFailed) return wire_.Flush();
  wire_.Keep();
  return true;
}

// The next record's plaintext. Small parts are gathered; a large one is taken where it lies.
size_t Connection::TakeRecord(std::span<const std::span<const std::byte>> parts, size_t& part, size_t& offset,
                              std::span<const std::byte>& record) {
  size_t gathered = 0;
  while (part < parts.size()) {
    const std::span<const std::byte> rest = parts[part].subspan(offset);
    if (gathered == 0 && (rest.size() >= Buffers::kRecordBytes || (part + 1 == parts.size() && !rest.empty()))) {
      record = rest.first(std::min(rest.size(), Buffers::kRecordBytes));
      offset += record.size();
      if (offset == parts[part].size()) part++, offset = 0;
      return record.size();
    }
    const size_t taken = std::min(rest.size(), Buffers::kRecordBytes - gathered);
    std::copy_n(rest.begin(), taken, buffers_.record.get() + gathered);
    gathered += taken;
    offset += taken;
    if (offset < parts[part].size()) break;
    part++, offset = 0;
  }
  record = {buffers_.record.get(), gathered};
  return gathered;
}

Moved Connection::Write(std::span<const std::span<const std::byte>> parts) {
  if (failure_.reason != Reason::kNone) return {0, Status::kFailed};
  if (wire_.blocked()) {
    if (const Status status = Flush(); status != Status::kDone) return {0, status};
  }
  wire_.Begin(Buffers::kReceiveBytes);
  Moved moved{0, Status::kDone};
  std::span<const std::byte> record;
  size_t part = 0, offset = 0;
  while (moved.status == Status::kDone && !wire_.blocked() && TakeRecord(parts, part, offset, record) > 0) {
    ERR_clear_error();
    size_t written = 0;
    const int result = SSL_write_ex(ssl_.get(), record.data(), record.size(), &written);
    moved.bytes += written;
    if (result != 1) moved.status = Stopped(result);
    if (buffers_.sending.size() >= Buffers::kSendBytes && !wire_.Flush()) {
      moved.status = Fail({Reason::kSystem, wire_.error()});
    }
  }
  if (!wire_.Flush()) moved.status = Fail({Reason::kSystem, wire_.error()});
  wire_.End();
  if (moved.status == Status::kDone && wire_.blocked()) moved.status = Status::kWantsWrite;
  return moved;
}

Status Connection::Flush() {
  if (failure_.reason != Reason::kNone) return Status::kFailed;
  if (!wire_.Flush()) return Fail({Reason::kSystem, wire_.error()});
  return wire_.blocked() ? Status::kWantsWrite : Status::kDone;
}

Status Connection::Shutdown() {
  if (failure_.reason != Reason::kNone) return Status::kFailed;
  wire_.Begin(Buffers::kReceiveBytes);
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_.get());
  Status status = result >= 0 ? Status::kDone : Stopped(result);
  if (!wire_.Flush()) status = Fail({Reason::kSystem, wire_.error()});
  wire_.End();
  return status == Status::kDone && wire_.blocked() ? Status::kWantsWrite : status;
}

Status Connection::Stopped(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Status::kWantsRead;
    case SSL_ERROR_ZERO_RETURN:
      return Status::kEnded;
    default:
      break;
  }
  const bool queued = ERR_peek_error() != 0;
  const Failure library = TakeQueuedFailure();
  if (handshake_.reason != Reason::kNone) return Fail({handshake_.reason});
  if (queued && library.reason != Reason::kProtocol) return Fail(library);
  if (wire_.error() != 0) return Fail({Reason::kSystem, wire_.error()});
  return Fail(wire_.ended() && !queued ? Failure{Reason::kTruncated} : library);
}

Status Connection::Fail(Failure failure) {
  if (failure_.reason == Reason::kNone) failure_ = failure;
  return Status::kFailed;
}

}  // namespace weft::core::tls
