// Many requests at once: every length and framing, split anywhere, with ends at any time. Every byte that arrives is
// checked.
#include <poll.h>

#include <atomic>
#include <random>

#include "../core/http1/reader.h"
#include "http_mesh.h"

namespace weft::test {
namespace {

using core::http1::Event;

constexpr int kThreads = 6;
constexpr int kConnections = 25;  // of each thread

// Reads one message; nothing: the connection has ended before its end.
template <typename Reader>
std::optional<std::string> ReadMessage(const Descriptor& socket, Reader& reader, std::string& rest,
                                       const std::function<void(const core::http1::Head&)>& on_head) {
  std::string body;
  char buffer[9000];
  while (true) {
    std::string_view input = rest;
    for (bool more = true; more;) {
      switch (reader.Read(input)) {
        case Event::kHead:
          on_head(reader.head());
          break;
        case Event::kBody:
          body.append(reader.body());
          break;
        case Event::kEnd:
          rest = std::string(input);
          return body;
        case Event::kError:
          throw std::runtime_error("malformed: " + std::string(Name(reader.error())));
        case Event::kOver:
          return std::nullopt;
        default:
          more = false;
      }
    }
    const ssize_t got = recv(socket.get(), buffer, sizeof buffer, 0);
    if (got <= 0) return std::nullopt;
    rest.assign(buffer, static_cast<size_t>(got));
  }
}

std::string Framed(const std::string& start, const std::string& body, bool chunked, std::mt19937& random) {
  if (!chunked) return start + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  std::string text = start + "Transfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < body.size();) {
    const size_t size = std::min<size_t>(1 + random() % 20'000, body.size() - at);
    text.append(core::http1::ChunkHead(size).text()).append(body, at, size).append("\r\n");
    at += size;
  }
  return text + "0\r\n\r\n";
}

bool SendInPieces(const Descriptor& socket, std::string_view text, std::mt19937& random) {
  while (!text.empty()) {
    const size_t size = std::min<size_t>(1 + random() % (random() % 2 == 0 ? 100 : 50'000), text.size());
    const ssize_t sent = send(socket.get(), text.data(), size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

size_t SizeOf(std::mt19937& random) {
  switch (random() % 4) {
    case 0:
      return 0;
    case 1:
      return random() % 200;
    case 2:
      return random() % 20'000;
    default:
      return random() % 300'000;
  }
}

// Answers with as many bytes as the path asks for.
void ServeConnection(Descriptor socket, uint32_t seed, std::atomic<int>& wrong) {
  std::mt19937 random(seed);
  const core::http1::Limits limits;
  core::http1::Head head;
  core::http1::RequestReader reader(limits, head);
  std::string rest;
  while (true) {
    size_t sent = 0, wanted = 0;
    const auto body = ReadMessage(socket, reader, rest, [&](const core::http1::Head& request) {
      if (sscanf(std::string(request.target()).c_str(), "/%zu/%zu", &sent, &wanted) != 2) wrong++;
    });
    if (!body) return;
    if (*body != Pattern(sent, 1)) wrong++;
    const uint32_t fate = random() % 40;
    if (fate == 0) return Reset(socket);
    std::string response = Framed("HTTP/1.1 200 OK\r\n", Pattern(wanted, 2), random() % 2 == 0, random);
    if (fate == 1) response.resize(random() % response.size());
    if (!SendInPieces(socket, response, random) || fate <= 2) return;
  }
}

void RunClient(const Endpoint& entry, uint32_t seed, std::atomic<int>& wrong, std::atomic<int>& complete) {
  std::mt19937 random(seed);
  const core::http1::Limits limits;
  for (int i = 0; i < kConnections; i++) {
    Descriptor socket = Connected(entry);
    core::http1::Head head;
    core::http1::ResponseReader reader(limits, head);
    std::string rest;
    for (uint32_t requests = 1 + random() % 8; requests > 0; requests--) {
      const size_t sent = SizeOf(random), wanted = SizeOf(random);
      const std::string start =
          "POST /" + std::to_string(sent) + "/" + std::to_string(wanted) + " HTTP/1.1\r\nHost: w\r\n";
      std::string request = Framed(start, Pattern(sent, 1), random() % 2 == 0, random);
      const uint32_t fate = random() % 40;
      if (fate == 0) request.resize(random() % request.size());
      const bool went = SendInPieces(socket, request, random);
      if (fate == 1) {
        Reset(socket);
        break;
      }
      if (fate == 0 || !went) break;
      reader.Expect({});
      unsigned status = 0;
      const auto body =
          ReadMessage(socket, reader, rest, [&](const core::http1::Head& response) { status = response.status; });
      if (!body) break;
      if (status == 200 && *body != Pattern(wanted, 2)) wrong++;
      if (status == 200) complete++;
      if (!reader.ready()) break;
    }
  }
}

TEST("http storm: every message arrives whole or not at all") {
  HttpMesh http;
  std::atomic<int> wrong = 0, complete = 0;
  std::atomic<bool> stopping = false;
  std::vector<std::thread> servers;
  std::thread acceptor([&] {
    for (uint32_t seed = 1; !stopping; seed++) {
      pollfd ready{http.mesh.app.get(), POLLIN, 0};
      if (poll(&ready, 1, 20) != 1) {
        seed--;
        continue;
      }
      Descriptor socket = Accept(http.mesh.app);
      servers.emplace_back([socket = std::move(socket), seed, &wrong]() mutable {
        try {
          ServeConnection(std::move(socket), seed, wrong);
        } catch (const std::exception&) {
          wrong++;
        }
      });
    }
  });
  std::vector<std::thread> clients;
  for (int i = 0; i < kThreads; i++) {
    clients.emplace_back([&, i] {
      try {
        RunClient(http.mesh.endpoint(), static_cast<uint32_t>(100 + i), wrong, complete);
      } catch (const std::exception&) {
        wrong++;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  stopping = true;
  acceptor.join();
  EVENTUALLY(http.mesh.statistics().connections == 0);
  CHECK_EQUAL(http.decider.asked(), http.decider.ended());
  http.mesh.WithEngine([](core::Engine& engine) { engine.Close(); });
  for (std::thread& server : servers) server.join();
  CHECK_EQUAL(wrong.load(), 0);
  CHECK(complete > kThreads * kConnections);
}

}  // namespace
}  // namespace weft::test
