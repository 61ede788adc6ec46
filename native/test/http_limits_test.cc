// What HTTP holds of clients and apps that are slow, many, or silent.
#include <sys/resource.h>

#include "http_mesh.h"
#include "memory.h"

namespace weft::test {
namespace {

constexpr size_t kTooMuch = 24u << 20;

// Sends until nobody takes more. How much that was.
size_t FillUp(const Descriptor& socket, const std::string& bytes) {
  SetNonBlocking(socket, true);
  size_t sent = 0;
  for (int quiet = 0; quiet < 20 && sent < bytes.size();) {
    const ssize_t taken = send(socket.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (taken > 0) {
      sent += static_cast<size_t>(taken);
      quiet = 0;
    } else {
      quiet++;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  SetNonBlocking(socket, false);
  return sent;
}

void CheckSlow(bool upload) {
  HttpMesh http;
  const std::string bytes = Pattern(48u << 20, 7);
  const std::string length = "Content-Length: " + std::to_string(bytes.size()) + "\r\n\r\n";
  const Descriptor client = http.Client();
  Send(client, upload ? "POST / HTTP/1.1\r\nHost: w\r\n" + length : "GET / HTTP/1.1\r\nHost: w\r\n\r\n");
  const Descriptor app = http.App();
  ReceiveHead(app);
  if (!upload) Send(app, "HTTP/1.1 200 OK\r\n" + length);
  const Descriptor& from = upload ? client : app;
  const Descriptor& to = upload ? app : client;
  const size_t before = Held();
  const size_t sent = FillUp(from, bytes);
  CHECK(sent < kTooMuch);
  if (kCountsMemory) CHECK(Held() < before + (1u << 20));
  std::thread sender([&] { Send(from, std::string_view(bytes).substr(sent)); });
  if (!upload) ReceiveHead(client);
  const bool same = Receive(to, bytes.size()) == bytes;
  sender.join();
  CHECK(same);
}

TEST("http limits: a slow client holds its app back") { CheckSlow(false); }

TEST("http limits: a slow app holds its client back") { CheckSlow(true); }

TEST("http limits: a client that asks and does not read is not answered for ever") {
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    static uint32_t response = 0;
    if (response == 0 || record.identity.exchange == 1) {
      core::http::SyntheticResponse large;
      large.status = 200;
      large.body = std::string(16 * 1024, 'x');
      response = http.decider.engine->http().DefineResponse(large);
    }
    record.decision.action = RequestAction::kRespond;
    record.decision.response = response;
  });
  const Descriptor client = http.Client();
  std::string requests;
  while (requests.size() < (16u << 20)) requests += "GET / HTTP/1.1\r\nHost: w\r\n\r\n";
  const size_t sent = FillUp(client, requests);
  CHECK(sent < requests.size());
  CHECK(http.decider.asked() < kTooMuch / (16 * 1024));
}

TEST("http limits: idle connections cost 1 KB each at most") {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit all{limit.rlim_max, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &all);
  const bool many = limit.rlim_max >= 21'000 && kCountsMemory;
  const size_t count = many ? 10'000 : limit.rlim_max >= 9'000 && kCountsMemory ? 4'000 : 400;
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    record.decision.action = RequestAction::kRespond;
    record.decision.response = http.decider.Response(*http.decider.engine, 403);
    http.decider.engine->http().ReleaseResponse(record.decision.response - 1);
  });
  std::vector<Descriptor> clients;
  clients.reserve(count);
  const auto ask = [&] {
    clients.push_back(http.Client());
    Send(clients.back(), "GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    CHECK(ReceiveHead(clients.back()).starts_with("HTTP/1.1 403 "));
  };
  for (int i = 0; i < 10; i++) ask();
  http.decider.KeepNothing();
  const size_t before = Held();
  while (clients.size() < count) ask();
  EVENTUALLY(http.mesh.statistics().connections == count);
  if (kCountsMemory) CHECK(Held() - before < 1024 * count);
  clients.clear();
  EVENTUALLY(http.mesh.statistics().connections == 0);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace weft::test
