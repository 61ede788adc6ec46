// A link in a loop of the test's own; its peer is OpenSSL.
#include "../core/secure_link.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <memory>
#include <vector>

#include "../core/tls_connection.h"
#include "authority.h"
#include "check.h"
#include "tls_pair.h"

namespace weft::test {
namespace {

constexpr int64_t kHandshakeUs = 5'000'000;

// Until it is so.
template <typename Condition>
bool Turns(core::EventLoop& loop, Condition condition) {
  return Eventually([&] {
    loop.Turn();
    return condition();
  });
}

class Link final : private core::SecureLinkEvents {
 public:
  Link(core::EventLoop& loop, const ContextPtr& context, core::Descriptor socket) {
    core::SecureLinkEvents& events = *this;
    link_ = std::make_unique<core::SecureLink>(loop, events);
    link_->Accept(context, buffers_, std::move(socket), protocols_, loop.now_us() + kHandshakeUs);
  }

  // Until a record stays behind.
  void Fill() {
    const std::vector<std::byte> bytes(core::tls::Buffers::kRecordBytes);
    const std::span<const std::byte> part = bytes;
    while (!link_->tls().wants_write()) written += link_->tls().Write(std::span(&part, 1)).bytes;
  }
  bool wants_write() { return link_->tls().wants_write(); }

  // For somebody else, while the object lives.
  std::unique_ptr<core::SecureLink> Take() { return std::move(link_); }

  bool established = false;
  size_t written = 0;
  int writable = 0;
  std::string received;

 private:
  void Established() override { established = true; }
  void Readable() override { received += ReadSome(link_->tls()); }
  void Writable() override { writable++; }
  void LinkFailed(const core::tls::Failure&) override {}

  core::tls::Buffers buffers_;
  const core::tls::Protocols protocols_;
  std::unique_ptr<core::SecureLink> link_;
};

class Peer {
 public:
  explicit Peer(core::Descriptor socket) : socket_(std::move(socket)), context_(SSL_CTX_new(TLS_client_method())) {
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.get());
    SSL_set_connect_state(ssl_.get());
  }
  bool Handshake() { return SSL_do_handshake(ssl_.get()) == 1; }
  size_t Read(size_t most) {
    std::vector<std::byte> room(most);
    size_t total = 0, read = 0;
    while (total < most && SSL_read_ex(ssl_.get(), room.data(), most - total, &read) == 1) total += read;
    return total;
  }
  // The end that was said, not only that of the socket.
  bool HasEnd() {
    std::byte room[1];
    size_t read = 0;
    const int result = SSL_read_ex(ssl_.get(), room, sizeof room, &read);
    return SSL_get_error(ssl_.get(), result) == SSL_ERROR_ZERO_RETURN;
  }
  // Asks for new keys, and sends under its own new ones.
  void UpdateKeys(const std::string& text) {
    CHECK_EQUAL(SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED), 1);
    CHECK_EQUAL(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())), static_cast<int>(text.size()));
  }

 private:
  core::Descriptor socket_;
  core::tls::SslContext context_;
  core::tls::Ssl ssl_;
};

struct Pair {
  Pair() : Pair(Sockets()) {
    CHECK(Turns(loop, [&] { return peer.Handshake() && link.established; }));
  }

  core::EventLoop loop;
  Link link;
  Peer peer;

 private:
  struct Sockets {
    Sockets() { CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0); }
    int ends[2];
  };
  explicit Pair(const Sockets& sockets)
      : link(loop, Context(), core::Descriptor(sockets.ends[0])), peer(core::Descriptor(sockets.ends[1])) {}
  static ContextPtr Context() {
    core::tls::ContextOptions options;
    options.require_client_certificate = false;
    return MakeContext(Authority("ours").Issue("db.shop"), options);
  }
};

// OpenSSL answers a request for new keys when the next one comes. There is room for that, and for what was kept, before
// the kernel tells that the socket is writable, which takes more of it.
TEST("TLS: who waits to write is told of room, although new keys were to be answered before") {
  Pair pair;
  auto& [loop, link, peer] = pair;
  link.Fill();
  loop.Turn();
  CHECK(link.wants_write());
  size_t read = peer.Read(4 * core::tls::Buffers::kRecordBytes);
  const int told = link.writable;
  peer.UpdateKeys("a");
  CHECK(Turns(loop, [&] { return link.received == "a"; }));
  peer.UpdateKeys("b");
  CHECK(Turns(loop, [&] { return link.received == "ab"; }));
  CHECK(Turns(loop, [&] {
    read += peer.Read(link.written);
    return read == link.written && link.writable > told;
  }));
}

class Nobody final : public core::ConnectionOwner, public core::TlsEstablishedEvents {
 public:
  void Closed(core::Connection&) override {}
  void TlsEstablished(core::TlsConnection&) override {}
};

class RecordingStreamEvents final : public core::PeerStreamEvents {
 public:
  void Began() override {}
  void Arrived(std::span<const std::byte>) override {}
  void HasRoom() override {}
  void PeerFinished() override {}
  void PeerReset(int error) override { reset = error; }
  int reset = -1;
};

// One record more would be kept.
size_t RecordsThatFit() {
  Pair pair;
  pair.link.Fill();
  return pair.link.written / core::tls::Buffers::kRecordBytes - 1;
}

TEST("TLS: the end of a stream whose socket is full is said when there is room") {
  const size_t records = RecordsThatFit();
  Pair pair;
  auto& [loop, link, peer] = pair;
  core::tls::Buffers buffers;
  std::vector<std::byte> received(core::tls::Buffers::kReceiveBytes), sent(core::tls::Buffers::kRecordBytes);
  core::Handshakes handshakes{1, {}, 0};
  Nobody nobody;
  const core::TlsConnectionContext context{loop, buffers, received, sent, handshakes, nobody, nobody};
  RecordingStreamEvents events;
  auto* const stream = new core::TlsStream(context, link.Take());  // retires itself
  stream->Begin(events);
  for (size_t i = 0; i < records; i++) stream->Commit(stream->Reserve().size());
  CHECK(!stream->Reserve().empty());
  stream->Finish();
  size_t read = 0;
  CHECK(Turns(loop, [&] {
    read += peer.Read(sent.size());
    return read == records * sent.size() && peer.HasEnd();
  }));
  CHECK_EQUAL(events.reset, -1);
  stream->Reset();
}

}  // namespace
}  // namespace weft::test
