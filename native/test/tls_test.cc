// Both ends of the engine's TLS, against each other.
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <random>

#include "authority.h"
#include "check.h"
#include "tls_pair.h"

namespace weft::test {
namespace {

using namespace core::tls;

const std::string kWeb = "web.shop.serviceaccount.identity.weft.cluster.local";
const std::string kDb = "db.shop.serviceaccount.identity.weft.cluster.local";

// The alerts' numbers: RFC 8446, section 6.
constexpr int kBadCertificateAlert = 42;
constexpr int kUnsupportedCertificateAlert = 43;
constexpr int kExpiredAlert = 45;
constexpr int kUnknownCaAlert = 48;
constexpr int kNoProtocolAlert = 120;

std::string Alert(int number) { return "alert " + std::to_string(number); }

const Authority& Ours() {
  static const Authority authority("ours");
  return authority;
}

// A server refuses the client, or the other way round.
void ExpectRefusedClient(const ContextPtr& client, const std::string& reason, int alert) {
  TlsPair pair(client, MakeContext(Ours().Issue(kDb)), kDb);
  CHECK(!pair.Handshake());
  CHECK_EQUAL(Reasons(pair.server->failure()), reason);
  CHECK(pair.server->peer().name.empty());
  CHECK(pair.ClientStatus() == Status::kFailed);
  CHECK_EQUAL(Reasons(pair.client->failure()), Alert(alert));
}

void ExpectRefusedServer(const ContextPtr& server, const std::string& reason, int alert) {
  TlsPair pair(MakeContext(Ours().Issue(kWeb)), server, kDb);
  CHECK(!pair.Handshake());
  CHECK_EQUAL(Reasons(pair.client->failure()), reason);
  CHECK_EQUAL(Reasons(pair.server->failure()), Alert(alert));
}

TEST("TLS: both identities are verified and bytes go both ways") {
  TlsPair pair(MakeContext(Ours().Issue(kWeb)), MakeContext(Ours().IssueByIntermediate(kDb)), kDb, {"h2", "weft/1"},
               {"weft/1", "h2", "http/1.1"});
  CHECK(pair.Handshake());
  CHECK_EQUAL(pair.server->peer().name, kWeb);
  CHECK_EQUAL(pair.client->peer().name, kDb);
  CHECK(pair.server->peer().not_after > time(nullptr));
  CHECK_EQUAL(pair.server->protocol(), "weft/1");
  CHECK_EQUAL(pair.client->protocol(), "weft/1");
  CHECK(!pair.server->resumed());
  pair.Echo("hello");
  pair.Echo(std::string(3'000'000, 'x'));
}

TEST("TLS: an identity is read as DER too, and errors are told apart") {
  const Identity good = Ours().Issue(kWeb);
  const std::vector<Certificate> chain = ReadCertificates(good.certificates);
  const Key key = ReadPrivateKey(good.key);
  Identity der{.certificates = std::string(), .key = std::string(), .anchors = good.anchors};
  unsigned char* bytes = nullptr;
  int size = i2d_X509(chain[0].get(), &bytes);
  der.certificates.assign(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  bytes = nullptr;
  size = i2d_PrivateKey(key.get(), &bytes);
  der.key.assign(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  CHECK_EQUAL(MakeContext(der)->name(), kWeb);

  const auto error = [&](auto change) {
    Identity identity = good;
    change(identity);
    ContextError error;
    CHECK(Context::Make(identity, {}, error) == nullptr);
    return error;
  };
  CHECK(error([](Identity& i) { i.certificates = "x"; }) == ContextError::kBadCertificates);
  CHECK(error([](Identity& i) {
          i.certificates += "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        }) == ContextError::kBadCertificates);
  CHECK(error([](Identity& i) { i.key = ""; }) == ContextError::kBadKey);
  CHECK(error([](Identity& i) { i.key = Ours().Issue(kWeb).key; }) == ContextError::kKeyMismatch);
  CHECK(error([](Identity& i) { i.anchors = ""; }) == ContextError::kBadAnchors);
  CHECK(error([](Identity& i) { i = Ours().Issue(LeafOptions{.names = {}}); }) == ContextError::kBadName);
  CHECK(error([](Identity& i) { i = Ours().Issue(LeafOptions{.names = {kWeb, kDb}}); }) == ContextError::kBadName);
}

TEST("TLS: clients are refused with a reason and an alert") {
  const Authority theirs("theirs");
  Identity foreign = theirs.Issue(kWeb);
  foreign.anchors = Ours().certificate();
  ExpectRefusedClient(MakeContext(foreign), "unknown authority", kUnknownCaAlert);
  ExpectRefusedClient(MakeContext(Ours().Issue(LeafOptions{.names = {kWeb}, .not_before = -60, .not_after = -5})),
                      "expired", kExpiredAlert);
  ExpectRefusedClient(MakeContext(Ours().Issue(LeafOptions{.names = {kWeb}, .not_before = 60})), "not yet valid",
                      kBadCertificateAlert);
  ExpectRefusedClient(MakeContext(Ours().Issue(LeafOptions{.names = {kWeb}, .usage = "serverAuth"})), "bad certificate",
                      kUnsupportedCertificateAlert);
}

TEST("TLS: servers are refused with a reason and an alert") {
  const Authority theirs("theirs");
  Identity foreign = theirs.Issue(kDb);
  foreign.anchors = Ours().certificate();
  ExpectRefusedServer(MakeContext(foreign), "unknown authority", kUnknownCaAlert);
  ExpectRefusedServer(MakeContext(Ours().Issue(LeafOptions{.names = {kDb}, .not_before = -60, .not_after = -5})),
                      "expired", kExpiredAlert);
  ExpectRefusedServer(MakeContext(Ours().Issue(kWeb)), "wrong name", kBadCertificateAlert);
  ExpectRefusedServer(MakeContext(Ours().Issue("*.shop.serviceaccount.identity.weft.cluster.local")), "wrong name",
                      kBadCertificateAlert);
}

TEST("TLS: several anchors are accepted during a change of anchors") {
  const Authority next("next");
  Identity web = next.Issue(kWeb), db = Ours().Issue(kDb);
  web.anchors = db.anchors = Ours().certificate() + next.certificate();
  TlsPair pair(MakeContext(web), MakeContext(db), kDb);
  CHECK(pair.Handshake());
  CHECK_EQUAL(pair.server->peer().name, kWeb);
}

TEST("TLS: protocols in the server's order, and none in common is refused") {
  const ContextPtr client = MakeContext(Ours().Issue(kWeb)), server = MakeContext(Ours().Issue(kDb));
  for (const Protocols& offered : {Protocols{"smtp"}, Protocols{}}) {
    TlsPair pair(client, server, kDb, offered, {"weft/1", "h2"});
    CHECK(!pair.Handshake());
    CHECK_EQUAL(Reasons(pair.server->failure()), "no protocol");
    CHECK_EQUAL(Reasons(pair.client->failure()), Alert(kNoProtocolAlert));
  }
  TlsPair ignored(client, server, kDb, {"weft/1"}, {});
  CHECK(!ignored.Handshake());
  CHECK_EQUAL(Reasons(ignored.client->failure()), "no protocol");
}

TEST("TLS: a new context leaves open connections alone") {
  ContextPtr client = MakeContext(Ours().Issue(kWeb)), server = MakeContext(Ours().Issue(kDb));
  TlsPair open(client, server, kDb);
  CHECK(open.Handshake());
  for (int rotation = 0; rotation < 20; rotation++) {
    client = MakeContext(Ours().Issue(kWeb));
    server = MakeContext(Ours().Issue(kDb));
    TlsPair next(client, server, kDb);
    CHECK(next.Handshake());
    next.Echo("new");
    open.Echo("old");
  }
}

TEST("TLS: close_notify ends one direction, a bare FIN is a truncation") {
  const ContextPtr client = MakeContext(Ours().Issue(kWeb)), server = MakeContext(Ours().Issue(kDb));
  TlsPair pair(client, server, kDb);
  CHECK(pair.Handshake());
  CHECK(pair.client->Shutdown() == Status::kDone);
  std::byte room[64];
  CHECK(pair.server->Read(room).status == Status::kEnded);
  SendAll(*pair.server, *pair.client, "still there");
  CHECK(pair.server->Shutdown() == Status::kDone);
  CHECK(pair.client->Read(room).status == Status::kEnded);

  TlsPair killed(client, server, kDb);
  CHECK(killed.Handshake());
  killed.client_socket.Reset();
  CHECK(killed.server->Read(room).status == Status::kFailed);
  CHECK_EQUAL(Reasons(killed.server->failure()), "truncated");

  TlsPair young(client, server, kDb);
  CHECK(young.client->Handshake() == Status::kWantsRead);
  young.client_socket.Reset();
  young.server->Handshake();
  CHECK(young.server->Handshake() == Status::kFailed);
}

TEST("TLS: what the socket does not take is kept, once, and order holds") {
  TlsPair pair(MakeContext(Ours().Issue(kWeb)), MakeContext(Ours().Issue(kDb)), kDb);
  CHECK(pair.Handshake());
  std::string sent, got;
  for (int i = 0; i < 400; i++) {
    const std::string first(static_cast<size_t>(i * 37 % 900), static_cast<char>('a' + i % 26));
    const std::string second(static_cast<size_t>(i * 7919 % 40'000), static_cast<char>('A' + i % 26));
    const std::span<const std::byte> parts[] = {std::as_bytes(std::span(first)), {}, std::as_bytes(std::span(second))};
    const Moved moved = pair.client->Write(parts);
    CHECK(moved.status == Status::kDone || moved.status == Status::kWantsWrite);
    CHECK_EQUAL(moved.status == Status::kWantsWrite, pair.client->wants_write());
    sent += (first + second).substr(0, moved.bytes);
    if (i % 5 == 0) got += ReadSome(*pair.server);
  }
  for (int i = 0; i < 2000 && got.size() < sent.size(); i++) {
    pair.client->Flush();
    got += ReadSome(*pair.server);
  }
  CHECK(sent.size() > 1'000'000);
  CHECK(got == sent);
}

// Passes on a few bytes, in a piece of its own. What does not fit waits in the source.
void Forward(int from, int to, size_t most) {
  std::vector<char> piece(most);
  const ssize_t there = recv(from, piece.data(), most, MSG_PEEK);
  if (there <= 0) return;
  const ssize_t sent = send(to, piece.data(), static_cast<size_t>(there), 0);
  if (sent > 0) CHECK_EQUAL(recv(from, piece.data(), static_cast<size_t>(sent), 0), sent);
}

TEST("TLS: bytes in pieces of any size") {
  const ContextPtr client_context = MakeContext(Ours().Issue(kWeb)), server_context = MakeContext(Ours().Issue(kDb));
  for (const unsigned seed : {1u, 2u, 3u, 4u, 5u, 6u}) {
    std::mt19937 random(seed);
    const size_t largest = size_t{1} << (seed * 2);
    const auto piece = [&] { return 1 + random() % largest; };
    TlsPair near(client_context, server_context, kDb), far(client_context, server_context, kDb);
    Connection& client = *near.client;
    Connection& server = *far.server;
    const int client_end = near.server_socket.get(), server_end = far.client_socket.get();
    const std::string text(seed * 20'000, 'x');
    std::string at_server, at_client;
    size_t written[2] = {};
    bool client_done = false, server_done = false;
    const auto write = [&](Connection& connection, size_t& done) {
      const std::span<const std::byte> rest = std::as_bytes(std::span(text)).subspan(done);
      const std::span<const std::byte> part = rest.first(std::min(rest.size(), piece()));
      if (!part.empty()) done += connection.Write(std::span(&part, 1)).bytes;
    };
    for (int turn = 0; turn < 2'000'000 && (at_server.size() < text.size() || at_client.size() < text.size()); turn++) {
      if (!client_done) client_done = client.Handshake() == Status::kDone;
      if (!server_done) server_done = server.Handshake() == Status::kDone;
      if (client_done) write(client, written[0]), at_client += ReadSome(client);
      if (server_done) write(server, written[1]), at_server += ReadSome(server);
      CHECK_EQUAL(Reasons(client.failure()), "none");
      CHECK_EQUAL(Reasons(server.failure()), "none");
      Forward(client_end, server_end, piece());
      Forward(server_end, client_end, piece());
      if (written[0] == text.size() && client.wants_write()) client.Flush();
      if (written[1] == text.size() && server.wants_write()) server.Flush();
    }
    CHECK(at_server == text);
    CHECK(at_client == text);
  }
}

// A server of ours, and a client that does what ours never does.
struct OddClient {
  OddClient() : ssl(SSL_new(context->client())) {
    handshake.protocols = &pair.client_protocols;
    handshake.expected = kDb;
    SSL_set_app_data(ssl.get(), &handshake);
    SSL_set_fd(ssl.get(), pair.client_socket.get());
    SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>("\x06weft/1"), 7);
    SSL_set_connect_state(ssl.get());
    for (int turn = 0; turn < 5; turn++) {
      SSL_do_handshake(ssl.get());
      pair.server->Handshake();
    }
  }
  void UpdateKeys(int kind) {
    SSL_key_update(ssl.get(), kind);
    SSL_do_handshake(ssl.get());
  }

  const ContextPtr context = MakeContext(Ours().Issue(kWeb));
  TlsPair pair{context, MakeContext(Ours().Issue(kDb)), kDb};
  HandshakeState handshake;
  const Ssl ssl;
};

TEST("TLS: a peer that asks for new keys without end and reads nothing is cut off") {
  OddClient client;
  std::byte room[64];
  Status status = Status::kWantsRead;
  for (int turn = 0; turn < 200'000 && status != Status::kFailed; turn++) {
    client.UpdateKeys(SSL_KEY_UPDATE_REQUESTED);
    status = client.pair.server->Read(room).status;
  }
  CHECK_EQUAL(Reasons(client.pair.server->failure()), "system " + std::to_string(ENOBUFS));
}

TEST("TLS: a peer that sends new keys without end is read a bounded part of at a time") {
  OddClient client;
  BIO* const sent = BIO_new(BIO_s_mem());
  SSL_set0_wbio(client.ssl.get(), sent);
  for (int i = 0; i < 6000; i++) client.UpdateKeys(SSL_KEY_UPDATE_NOT_REQUESTED);
  CHECK_EQUAL(SSL_write(client.ssl.get(), "last", 4), 4);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(sent, &bytes);
  CHECK_EQUAL(send(client.pair.client_socket.get(), bytes, static_cast<size_t>(size), 0), size);
  std::vector<std::byte> room(64 * 1024);
  Moved moved = client.pair.server->Read(room);
  CHECK(moved.status == Status::kDone);
  CHECK_EQUAL(moved.bytes, 0u);
  int unread = 0;
  CHECK_EQUAL(ioctl(client.pair.server_socket.get(), FIONREAD, &unread), 0);
  CHECK(unread > 0);
  moved = client.pair.server->Read(room);
  CHECK(moved.status == Status::kWantsRead);
  CHECK_EQUAL(moved.bytes, 4u);
}

TEST("TLS: garbage is refused as such") {
  const ContextPtr server_context = MakeContext(Ours().Issue(kDb));
  for (const std::string& text : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(300, '\x16'),
                                  std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10)}) {
    TlsPair pair(server_context, server_context, kDb);
    CHECK(send(pair.client_socket.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    CHECK(pair.server->Handshake() == Status::kFailed);
    CHECK_EQUAL(Reasons(pair.server->failure()), "protocol");
  }
  TlsPair pair(MakeContext(Ours().Issue(kWeb)), server_context, kDb);
  CHECK(pair.Handshake());
  const std::string record("\x17\x03\x03\x00\x20 01234567890123456789012345678901", 37);
  CHECK(send(pair.client_socket.get(), record.data(), record.size(), 0) == static_cast<ssize_t>(record.size()));
  std::byte room[64];
  CHECK(pair.server->Read(room).status == Status::kFailed);
  CHECK_EQUAL(Reasons(pair.server->failure()), "protocol");
}

}  // namespace
}  // namespace weft::test
