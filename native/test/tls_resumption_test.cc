// Sessions that go on: across workers, never past what they were verified by.
#include <openssl/rand.h>
#include <unistd.h>

#include <ctime>

#include "authority.h"
#include "check.h"
#include "tls_pair.h"

namespace weft::test {
namespace {

using namespace core::tls;

const std::string kWeb = "web.shop.serviceaccount.identity.weft.cluster.local";
const std::string kDb = "db.shop.serviceaccount.identity.weft.cluster.local";

TicketKey NewKey() {
  TicketKey key;
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&key), sizeof key) == 1);
  return key;
}

struct Bed {
  Authority authority{"ours"};
  std::shared_ptr<TicketKeys> keys = std::make_shared<TicketKeys>(std::vector{NewKey()});
  std::shared_ptr<ClientSessions> sessions = std::make_shared<ClientSessions>(100);
  ContextPtr client = MakeClient(authority.Issue(kWeb));

  ContextPtr MakeClient(const Identity& identity) const {
    return MakeContext(identity, ContextOptions{.ticket_keys = nullptr, .sessions = sessions});
  }
  ContextPtr MakeServer(const Identity& identity, std::shared_ptr<const TicketKeys> its_keys) const {
    return MakeContext(identity, ContextOptions{.ticket_keys = std::move(its_keys), .sessions = nullptr});
  }
  ContextPtr MakeServer() const { return MakeServer(authority.Issue(kDb), keys); }
};

// Makes a connection, lets the client read the ticket, and tells whether it was resumed.
bool Connect(const ContextPtr& client, const ContextPtr& server) {
  TlsPair pair(client, server, kDb);
  CHECK(pair.Handshake());
  CHECK_EQUAL(pair.server->peer().name, kWeb);
  CHECK_EQUAL(pair.client->peer().name, kDb);
  CHECK(pair.server->peer().not_after > time(nullptr));
  CHECK(pair.client->peer().not_after > time(nullptr));
  CHECK_EQUAL(pair.client->resumed(), pair.server->resumed());
  pair.Echo("x");
  return pair.server->resumed();
}

TEST("TLS resumption: across workers and rotations, with the verified identity") {
  const Bed bed;
  CHECK(!Connect(bed.client, bed.MakeServer()));
  for (int i = 0; i < 5; i++) CHECK(Connect(bed.client, bed.MakeServer()));
  // A renewed certificate of the client's, too: it is the same identity.
  CHECK(Connect(bed.MakeClient(bed.authority.Issue(kWeb)), bed.MakeServer()));
}

TEST("TLS resumption: a session is used once") {
  const Bed bed;
  const ContextPtr server = bed.MakeServer();
  CHECK(!Connect(bed.client, server));
  CHECK_EQUAL(bed.sessions->size(), size_t{1});
  TlsPair first(bed.client, server, kDb), second(bed.client, server, kDb);
  CHECK(first.Handshake() && second.Handshake());
  CHECK(first.server->resumed());
  CHECK(!second.server->resumed());
}

TEST("TLS resumption: keys rotate; tickets under keys that are gone are not opened") {
  const Bed bed;
  const TicketKey old_key = NewKey(), new_key = NewKey();
  const auto keys = std::make_shared<TicketKeys>(std::vector{old_key});
  const ContextPtr server = bed.MakeServer(bed.authority.Issue(kDb), keys);
  CHECK(!Connect(bed.client, server));
  keys->Replace({new_key, old_key});
  CHECK(Connect(bed.client, server));
  keys->Replace({new_key});
  CHECK(Connect(bed.client, server));
  keys->Replace({NewKey()});
  CHECK(!Connect(bed.client, server));
  keys->Replace({old_key, new_key});
  CHECK(!Connect(bed.client, server));
}

TEST("TLS resumption: ends with the anchors it was verified by") {
  const Bed bed;
  const Authority other("other");
  CHECK(!Connect(bed.client, bed.MakeServer()));
  Identity changed = bed.authority.Issue(kDb);
  changed.anchors += other.certificate();
  const ContextPtr server = bed.MakeServer(changed, bed.keys);
  CHECK(!Connect(bed.client, server));
  CHECK(Connect(bed.client, server));
  Identity web = bed.authority.Issue(kWeb);
  web.anchors += other.certificate();
  CHECK(!Connect(bed.MakeClient(web), server));
}

TEST("TLS resumption: not for another identity of either end") {
  const Bed bed;
  CHECK(!Connect(bed.client, bed.MakeServer()));
  const ContextPtr other = bed.MakeClient(bed.authority.Issue("batch.shop.example"));
  TlsPair as_other(other, bed.MakeServer(), kDb);
  CHECK(as_other.Handshake());
  CHECK(!as_other.server->resumed());
  CHECK_EQUAL(as_other.server->peer().name, "batch.shop.example");
  TlsPair to_other(bed.client, bed.MakeServer(bed.authority.Issue(kWeb), bed.keys), kWeb);
  CHECK(to_other.Handshake());
  CHECK(!to_other.server->resumed());
  // The right client presents its session to a server of another name that has the same ticket keys.
  ClientSessions::Entry entry = bed.sessions->Take(bed.client->SessionKey(kDb), time(nullptr));
  CHECK(entry.session != nullptr);
  bed.sessions->Add(bed.client->SessionKey("mail.shop.example"), std::move(entry));
  TlsPair confused(bed.client, bed.MakeServer(bed.authority.Issue("mail.shop.example"), bed.keys), "mail.shop.example");
  CHECK(confused.Handshake());
  CHECK(!confused.server->resumed());
}

TEST("TLS resumption: ends with the certificates of either end") {
  const Bed bed;
  const auto brief = [&](const std::string& name) {
    return bed.authority.Issue(LeafOptions{.names = {name}, .not_after = 2});
  };
  // The server's clock decides over the client's certificate, the client's over the server's.
  const ContextPtr brief_client = bed.MakeClient(brief(kWeb));
  const ContextPtr server = bed.MakeServer();
  CHECK(!Connect(brief_client, server));
  CHECK(Connect(brief_client, server));
  // A client that believes in its session longer than the server does.
  ClientSessions::Entry entry = bed.sessions->Take(brief_client->SessionKey(kDb), time(nullptr));
  CHECK(entry.session != nullptr);
  SSL_SESSION_set_timeout(entry.session.get(), 3600);
  entry.good_until = entry.peer_not_after = kForever;
  bed.sessions->Add(bed.client->SessionKey(kDb), std::move(entry));
  // And one whose server expires.
  const auto other_sessions = std::make_shared<ClientSessions>(10);
  const ContextPtr other_client =
      MakeContext(bed.authority.Issue(kWeb), ContextOptions{.ticket_keys = nullptr, .sessions = other_sessions});
  CHECK(!Connect(other_client, bed.MakeServer(brief(kDb), bed.keys)));
  CHECK_EQUAL(other_sessions->size(), size_t{1});
  sleep(3);
  TlsPair late(bed.client, server, kDb);
  CHECK_EQUAL(bed.sessions->size(), size_t{0});
  CHECK(late.Handshake());
  CHECK(!late.server->resumed());
  CHECK(!Connect(other_client, server));
}

TEST("TLS resumption: the sessions kept are bounded, the newest used first") {
  const Bed bed;
  const auto sessions = std::make_shared<ClientSessions>(3);
  const auto add = [&](const std::string& key) {
    sessions->Add(key, {Session(SSL_SESSION_new()), kForever, kForever});
  };
  for (int i = 0; i < 10; i++) add("key" + std::to_string(i));
  CHECK_EQUAL(sessions->size(), size_t{3});
  const auto many = std::make_shared<ClientSessions>(100);
  for (int i = 0; i < 10; i++) many->Add("same", {Session(SSL_SESSION_new()), kForever, kForever});
  CHECK_EQUAL(many->size(), size_t{4});
  // Not one of them can be resumed: they have no secret.
  CHECK(many->Take("same", time(nullptr)).session == nullptr);
  CHECK_EQUAL(many->size(), size_t{0});
}

}  // namespace
}  // namespace weft::test
