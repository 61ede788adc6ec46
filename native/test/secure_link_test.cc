// A link in a loop of the test's own; its peer is OpenSSL.
#include "../core/secure_link.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <vector>

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
  Link(core::EventLoop& loop, const ContextPtr& context, core::Descriptor socket) : link_(loop, *this) {
    link_.Accept(context, buffers_, std::move(socket), protocols_, loop.now_us() + kHandshakeUs);
  }

  // Until a record stays behind.
  void Fill() {
    const std::vector<std::byte> bytes(core::tls::Buffers::kRecordBytes);
    const std::span<const std::byte> part = bytes;
    while (!link_.tls().wants_write()) written += link_.tls().Write(std::span(&part, 1)).bytes;
  }
  bool wants_write() { return link_.tls().wants_write(); }

  bool established = false;
  size_t written = 0;
  int writable = 0;
  std::string received;

 private:
  void Established() override { established = true; }
  void Readable() override { received += ReadSome(link_.tls()); }
  void Writable() override { writable++; }
  void LinkFailed(const core::tls::Failure&) override {}

  core::tls::Buffers buffers_;
  const core::tls::Protocols protocols_;
  core::SecureLink link_;
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

// OpenSSL answers a request for new keys when the next one comes. There is room for that, and for what was kept, before
// the kernel tells that the socket is writable, which takes more of it.
TEST("TLS: who waits to write is told of room, although new keys were to be answered before") {
  const Authority authority("ours");
  core::tls::ContextOptions options;
  options.require_client_certificate = false;
  int sockets[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) == 0);
  core::EventLoop loop;
  Link link(loop, MakeContext(authority.Issue("db.shop"), options), core::Descriptor(sockets[0]));
  Peer peer{core::Descriptor(sockets[1])};
  CHECK(Turns(loop, [&] { return peer.Handshake() && link.established; }));
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

}  // namespace
}  // namespace weft::test
