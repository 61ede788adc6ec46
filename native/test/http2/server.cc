// http2-server [PORT]: a ServerSession on TCP for h2spec, h2load and nghttp, until it is stopped. It says which port it
// has. GET answers with a few bytes or, of /bytes/N, with N; what has a body gets it back.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "../../core/http2/server_session.h"

namespace weft::test {
namespace {

using namespace core::http2;

constexpr size_t kBuffer = 256 * 1024;
constexpr size_t kMaxConnections = 1000;
constexpr size_t kBodyPiece = 64 * 1024;

int64_t NowUs() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

class Connection final : SessionEvents {
 public:
  explicit Connection(int socket) : socket_(socket), session_(Limits{}, *this) {}
  ~Connection() {
    session_.EndAll([this](Stream& stream) { Forget(stream); });
    close(socket_);
  }

  pollfd Wanted() const {
    const bool writes = !unsent_.empty() || session_.has_output();
    return {socket_, static_cast<short>(POLLIN | (writes ? POLLOUT : 0)), 0};
  }

  // False: it is over.
  bool Work(std::vector<std::byte>& buffer) {
    const ssize_t size = read(socket_, buffer.data(), buffer.size());
    if (size == 0 || (size < 0 && errno != EAGAIN)) return false;
    if (size > 0) session_.Receive(std::span(buffer).first(static_cast<size_t>(size)), NowUs());
    while (Flush()) {
      const size_t filled = session_.Output(buffer);
      if (filled == 0) break;
      unsent_.assign(reinterpret_cast<const char*>(buffer.data()), filled);
    }
    if (!unsent_.empty() || !session_.over()) return true;
    // What the client still sends would otherwise turn our last words into a reset.
    shutdown(socket_, SHUT_WR);
    return true;
  }

 private:
  struct Answer {
    std::string echo;
    size_t generated = 0;
    bool complete = false;
  };

  bool Flush() {
    while (!unsent_.empty()) {
      const ssize_t size = write(socket_, unsent_.data(), unsent_.size());
      if (size < 0) return false;
      unsent_.erase(0, static_cast<size_t>(size));
    }
    return true;
  }

  void OnHead(Stream& stream, const Head& head) override {
    auto* const answer = new Answer;
    stream.context = answer;
    if (head.path().starts_with("/bytes/")) {
      answer->generated = strtoull(std::string(head.path().substr(7)).c_str(), nullptr, 10);
    } else if (head.ends) {
      answer->echo = "hello\n";
    }
    Head response;
    response.status = 200;
    response.Add("content-type", "text/plain");
    session_.Respond(stream, response);
    Continue(stream);
  }
  void OnRefused(Stream& stream, core::http1::Error error) override {
    Head response;
    response.status = static_cast<uint16_t>(Status(error));
    response.ends = true;
    session_.Respond(stream, response);
  }
  void OnBody(Stream& stream, std::span<const std::byte> bytes) override {
    Of(stream).echo.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    Continue(stream);
  }
  void OnTrailers(Stream&, const Head&) override {}
  void OnEnd(Stream& stream) override {
    Of(stream).complete = true;
    Continue(stream);
  }
  void OnSent(Stream& stream, size_t) override { Continue(stream); }
  void OnClosed(Stream& stream) override { Forget(stream); }
  void OnReset(Stream& stream, ErrorCode, bool) override { Forget(stream); }
  void OnGoAway(ErrorCode) override {}
  void OnOutput() override {}

  static Answer& Of(Stream& stream) { return *static_cast<Answer*>(stream.context); }
  static void Forget(Stream& stream) { delete static_cast<Answer*>(std::exchange(stream.context, nullptr)); }

  void Continue(Stream& stream) {
    Answer& answer = Of(stream);
    const size_t taken = session_.Write(stream, std::as_bytes(std::span(answer.echo)));
    answer.echo.erase(0, taken);
    if (!stream.received() && stream.held() > 0) session_.Consumed(stream, std::min(stream.held(), taken));
    static const std::vector<std::byte> kPiece(kBodyPiece, std::byte{'x'});
    while (answer.generated > 0 && stream.queued() < kBodyPiece) {
      answer.generated -= session_.Write(stream, std::span(kPiece).first(std::min(kBodyPiece, answer.generated)));
    }
    if (answer.complete && answer.echo.empty() && answer.generated == 0) session_.Finish(stream);
  }

  const int socket_;
  ServerSession session_;
  std::string unsent_;
};

int Listen(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 128) != 0) return -1;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int Serve(uint16_t port) {
  signal(SIGPIPE, SIG_IGN);
  const int listener = Listen(port);
  if (listener < 0) {
    perror("http2-server");
    return 1;
  }
  std::vector<std::byte> buffer(kBuffer);
  std::vector<std::unique_ptr<Connection>> connections;
  while (true) {
    std::vector<pollfd> wanted;
    for (const auto& connection : connections) wanted.push_back(connection->Wanted());
    wanted.push_back({listener, static_cast<short>(connections.size() < kMaxConnections ? POLLIN : 0), 0});
    if (poll(wanted.data(), wanted.size(), -1) < 0) return 1;
    for (size_t i = connections.size(); i-- > 0;) {
      if (wanted[i].revents == 0 || connections[i]->Work(buffer)) continue;
      connections.erase(connections.begin() + static_cast<ptrdiff_t>(i));
    }
    if (wanted.back().revents == 0) continue;
    const int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    const int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (socket >= 0) connections.push_back(std::make_unique<Connection>(socket));
  }
}

}  // namespace
}  // namespace weft::test

int main(int argc, char** argv) { return weft::test::Serve(static_cast<uint16_t>(argc > 1 ? atoi(argv[1]) : 0)); }
