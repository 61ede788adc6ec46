// What a TLS connection costs: memory of an idle one, CPU of a handshake, CPU of a GB. One process, one thread, both
// ends; figures of both ends together unless it says otherwise.
#include "bench.h"

#include <malloc.h>
#include <openssl/rand.h>
#include <sys/socket.h>

#include <cstdio>
#include <ctime>

#include "../authority.h"
#include "../tls_pair.h"

namespace weft::test {
namespace {

using namespace core::tls;

const std::string kWeb = "web.shop.serviceaccount.identity.weft.cluster.local";
const std::string kDb = "db.shop.serviceaccount.identity.weft.cluster.local";
constexpr int kIdle = 400;
constexpr int kHandshakes = 500;
constexpr size_t kBulkBytes = size_t{512} << 20;

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double Kilobytes() { return static_cast<double>(mallinfo2().uordblks + mallinfo2().hblkhd) / 1024; }

struct Sockets {
  Sockets() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) perror("socketpair");
    client.Reset(pair[0]);
    server.Reset(pair[1]);
  }
  core::Descriptor client, server;
};

struct Cost {
  double client = 0, server = 0;
};

// Of the steps of each end, added up.
template <typename Step>
void Measure(double& sum, Step step) {
  const double before = CpuSeconds();
  step();
  sum += CpuSeconds() - before;
}

class Bench {
 public:
  void Run() {
    printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
    Handshakes("full", nullptr);
    Handshakes("resumed", std::make_shared<ClientSessions>(10));
    Idle("idle, full handshake", nullptr, false);
    Idle("idle, resumed", std::make_shared<ClientSessions>(kIdle), false);
    Idle("idle, after 16 KiB each way", nullptr, true);
    Bulk();
  }

 private:
  ContextPtr Client(std::shared_ptr<ClientSessions> sessions) {
    return MakeContext(authority_.Issue(kWeb), ContextOptions{.ticket_keys = nullptr, .sessions = sessions});
  }
  ContextPtr Server() {
    TicketKey key;
    RAND_bytes(reinterpret_cast<unsigned char*>(&key), sizeof key);
    return MakeContext(authority_.IssueByIntermediate(kDb),
                       ContextOptions{.ticket_keys = std::make_shared<TicketKeys>(std::vector{key}), .sessions = {}});
  }

  void Handshakes(const char* name, std::shared_ptr<ClientSessions> sessions) {
    const ContextPtr client_context = Client(sessions), server_context = Server();
    Cost cost;
    int resumed = 0;
    for (int i = 0; i < kHandshakes; i++) {
      const Sockets sockets;
      std::unique_ptr<Connection> client, server;
      Measure(cost.client, [&] {
        client = Connection::Connect(client_context, buffers_, sockets.client.get(), protocols_, kDb);
        client->Handshake();
      });
      Measure(cost.server, [&] {
        server = Connection::Accept(server_context, buffers_, sockets.server.get(), protocols_);
        server->Handshake();
      });
      Measure(cost.client, [&] { client->Handshake(); });
      Measure(cost.server, [&] { server->Handshake(); });
      Measure(cost.client, [&] { ReadNothing(*client); });
      if (server->resumed()) resumed++;
      Measure(cost.client, [&] { client.reset(); });
      Measure(cost.server, [&] { server.reset(); });
    }
    printf("%s handshake (%d of %d resumed): client %.0f us, server %.0f us\n", name, resumed, kHandshakes,
           cost.client / kHandshakes * 1e6, cost.server / kHandshakes * 1e6);
  }

  void ReadNothing(Connection& connection) {
    std::byte room[16];
    connection.Read(room);
  }

  void Idle(const char* name, std::shared_ptr<ClientSessions> sessions, bool used) {
    const ContextPtr client_context = Client(sessions), server_context = Server();
    std::vector<std::unique_ptr<TlsPair>> pairs;
    const std::string text(16 * 1024, 'x');
    TlsPair first(client_context, server_context, kDb);  // what the library makes once, and the first ticket
    first.Handshake();
    first.Echo("x");
    // The buffers that an engine has once shall not be counted, so the connections are made without pairs.
    std::vector<Sockets> sockets(kIdle);
    struct Ends {
      std::unique_ptr<Connection> client, server;
    };
    std::vector<Ends> ends(kIdle);
    const double before = Kilobytes();
    for (int i = 0; i < kIdle; i++) {
      ends[i].client = Connection::Connect(client_context, buffers_, sockets[i].client.get(), protocols_, kDb);
      ends[i].server = Connection::Accept(server_context, buffers_, sockets[i].server.get(), protocols_);
      for (int turn = 0; turn < 3; turn++) ends[i].client->Handshake(), ends[i].server->Handshake();
      ReadNothing(*ends[i].client);
      ReadNothing(*ends[i].server);
      if (used) SendAll(*ends[i].client, *ends[i].server, text), SendAll(*ends[i].server, *ends[i].client, text);
    }
    const double both = Kilobytes() - before;
    for (Ends& end : ends) end.client.reset();
    const double server = Kilobytes() - before;
    printf("%s: client %.1f KB, server %.1f KB\n", name, (both - server) / kIdle, server / kIdle);
  }

  void Bulk() {
    TlsPair pair(Client(nullptr), Server(), kDb);
    pair.Handshake();
    std::vector<std::byte> from(64 * 1024), to(64 * 1024);
    Cost cost;
    for (size_t moved = 0; moved < kBulkBytes;) {
      const std::span<const std::byte> part(from);
      Measure(cost.client, [&] { pair.client->Write(std::span(&part, 1)); });
      Measure(cost.server, [&] {
        for (Moved read{0, Status::kDone}; read.status == Status::kDone; moved += read.bytes)
          read = pair.server->Read(to);
      });
    }
    const double gigabytes = static_cast<double>(kBulkBytes) / 1e9;
    printf("bulk: client %.2f, server %.2f CPU s/GB (socketpair included)\n", cost.client / gigabytes,
           cost.server / gigabytes);
  }

  Authority authority_{"ours"};
  Buffers buffers_;
  const Protocols protocols_{"weft/1"};
};

}  // namespace

void RunTlsBench() { Bench().Run(); }

}  // namespace weft::test
