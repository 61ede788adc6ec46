// openssl s_client and s_server as peers, over TCP.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "authority.h"
#include "check.h"
#include "sockets.h"
#include "tls_pair.h"

namespace weft::test {
namespace {

using namespace core::tls;

const std::string kWeb = "web.shop.serviceaccount.identity.weft.cluster.local";
const std::string kDb = "db.shop.serviceaccount.identity.weft.cluster.local";
constexpr int kCertificateRequiredAlert = 116;

// A folder of one identity's files; it is removed with the object.
class Files {
 public:
  explicit Files(const Identity& identity) {
    CHECK(mkdtemp(folder_) != nullptr);
    std::ofstream(certificate()) << identity.certificates;
    std::ofstream(key()) << identity.key;
    std::ofstream(anchors()) << identity.anchors;
  }
  ~Files() {
    for (const std::string& path : {certificate(), key(), anchors()}) unlink(path.c_str());
    rmdir(folder_);
  }
  std::string certificate() const { return std::string(folder_) + "/tls.crt"; }
  std::string key() const { return std::string(folder_) + "/tls.key"; }
  std::string anchors() const { return std::string(folder_) + "/ca.crt"; }

 private:
  char folder_[32] = "/tmp/weft-tls-test-XXXXXX";
};

// openssl with pipes to its standard input and output.
class OpenSsl {
 public:
  explicit OpenSsl(std::vector<std::string> words) {
    int in[2], out[2];
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    words.insert(words.begin(), "openssl");
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      dup2(out[1], 2);
      execvp(arguments[0], arguments.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    input_.Reset(in[1]);
    output_.Reset(out[0]);
    fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  }
  ~OpenSsl() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  void Type(const std::string& text) { CHECK(write(input_.get(), text.data(), text.size()) > 0); }
  bool Shows(const std::string& text) {
    char buffer[4096];
    for (ssize_t size; (size = read(output_.get(), buffer, sizeof buffer)) > 0;) {
      shown_.append(buffer, static_cast<size_t>(size));
    }
    return shown_.find(text) != std::string::npos;
  }

 private:
  pid_t process_;
  core::Descriptor input_, output_;
  std::string shown_;
};

core::Descriptor Listen(int& port) {
  core::Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(listen(listener.get(), 5) == 0);
  socklen_t size = sizeof address;
  CHECK(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return listener;
}

core::Descriptor AcceptOne(const core::Descriptor& listener) {
  core::Descriptor accepted;
  EVENTUALLY((accepted.Reset(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)),
              static_cast<bool>(accepted)));
  return accepted;
}

Status Finish(Connection& connection) {
  Status status = Status::kWantsRead;
  EVENTUALLY((status = connection.Handshake(), status == Status::kDone || status == Status::kFailed));
  return status;
}

std::vector<std::string> ClientWords(int port, const Files& files) {
  return {"s_client",
          "-connect",
          "127.0.0.1:" + std::to_string(port),
          "-CAfile",
          files.anchors(),
          "-verify_return_error",
          "-verify_hostname",
          kDb,
          "-servername",
          kDb,
          "-alpn",
          "http/1.1,weft/1"};
}

TEST("TLS: openssl s_client is a peer") {
  const Authority authority("ours");
  const Files files(authority.Issue(kWeb));
  int port = 0;
  const core::Descriptor listener = Listen(port);
  std::vector<std::string> words = ClientWords(port, files);
  for (const std::string& word : {std::string("-cert"), files.certificate(), std::string("-key"), files.key()}) {
    words.push_back(word);
  }
  std::optional<OpenSsl> client(words);
  const core::Descriptor socket = AcceptOne(listener);
  Buffers buffers;
  const Protocols protocols{"weft/1", "h2", "http/1.1"};
  const auto server = Connection::Accept(MakeContext(authority.Issue(kDb)), buffers, socket.get(), protocols);
  CHECK(Finish(*server) == Status::kDone);
  CHECK_EQUAL(server->peer().name, kWeb);
  CHECK_EQUAL(server->protocol(), "weft/1");
  client->Type("typed\n");
  std::string got;
  EVENTUALLY((got += ReadSome(*server), got == "typed\n"));
  const std::string answer = "answered\n";
  const std::span<const std::byte> part = std::as_bytes(std::span(answer));
  CHECK_EQUAL(server->Write(std::span(&part, 1)).bytes, answer.size());
  EVENTUALLY(client->Shows("answered"));
  CHECK(client->Shows("TLSv1.3"));
  // s_client takes it for a command: new keys, and please new ones of yours.
  client->Type("K\n");
  got.clear();
  EVENTUALLY(client->Shows("KEYUPDATE"));
  client->Type("under new keys\n");
  EVENTUALLY((got += ReadSome(*server), got == "under new keys\n"));
  CHECK_EQUAL(server->Write(std::span(&part, 1)).bytes, answer.size());
  EVENTUALLY(client->Shows("answered\nKEYUPDATE\nanswered"));
  client.reset();
  std::byte room[64];
  EVENTUALLY(server->Read(room).status == Status::kFailed);
  CHECK_EQUAL(Reasons(server->failure()), "truncated");
}

TEST("TLS: a client without a certificate is refused, or nobody, as the context says") {
  const Authority authority("ours");
  const Identity identity = authority.Issue(kDb);
  const Files files(identity);
  for (const bool required : {true, false}) {
    int port = 0;
    const core::Descriptor listener = Listen(port);
    OpenSsl client(ClientWords(port, files));
    const core::Descriptor socket = AcceptOne(listener);
    Buffers buffers;
    const Protocols protocols{"http/1.1"};
    const auto server = Connection::Accept(MakeContext(identity, ContextOptions{.require_client_certificate = required,
                                                                                .ticket_keys = nullptr,
                                                                                .sessions = nullptr}),
                                           buffers, socket.get(), protocols);
    CHECK(Finish(*server) == (required ? Status::kFailed : Status::kDone));
    CHECK_EQUAL(Reasons(server->failure()), required ? "no certificate" : "none");
    CHECK(server->peer().name.empty());
    if (required) EVENTUALLY(client.Shows("alert number " + std::to_string(kCertificateRequiredAlert)));
  }
}

TEST("TLS: openssl s_server is a peer, also at its second meeting") {
  const Authority authority("ours");
  const Files files(authority.Issue(kDb));
  int port = 0;
  Listen(port).Reset();
  OpenSsl process({"s_server", "-accept", "127.0.0.1:" + std::to_string(port), "-cert", files.certificate(), "-key",
                   files.key(), "-CAfile", files.anchors(), "-Verify", "3", "-verify_return_error", "-alpn", "weft/1",
                   "-tls1_3", "-num_tickets", "1", "-rev"});
  EVENTUALLY(process.Shows("ACCEPT"));
  const auto sessions = std::make_shared<ClientSessions>(10);
  const ContextPtr context =
      MakeContext(authority.Issue(kWeb), ContextOptions{.ticket_keys = nullptr, .sessions = sessions});
  Buffers buffers;
  const Protocols protocols{"weft/1"};
  for (const bool again : {false, true}) {
    const core::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    fcntl(socket.get(), F_SETFL, O_NONBLOCK);
    const auto client = Connection::Connect(context, buffers, socket.get(), protocols, kDb);
    CHECK(Finish(*client) == Status::kDone);
    CHECK_EQUAL(client->peer().name, kDb);
    CHECK_EQUAL(client->resumed(), again);
    const std::string line = "abc\n";
    const std::span<const std::byte> part = std::as_bytes(std::span(line));
    CHECK_EQUAL(client->Write(std::span(&part, 1)).bytes, line.size());
    std::string got;
    EVENTUALLY((got += ReadSome(*client), got == "cba\n"));
    client->Shutdown();
  }
}

}  // namespace
}  // namespace weft::test
