// Many streams of many connections at once: bodies of every length, with ends at any time on either side. Every body
// that arrives is checked.
#include <algorithm>
#include <random>

#include "http2_sockets.h"

namespace weft::test::http2 {
namespace {

constexpr int kClients = 8;
constexpr int kRequestsOfEach = 60;
constexpr size_t kMostAtOnce = 12;
constexpr size_t kMostBody = 150'000;

// A client whose requests carry bodies, which it wants back.
struct StormClient {
  explicit StormClient(Descriptor socket) : peer(std::move(socket)) {}

  bool done() const { return peer.ended || (begun == kRequestsOfEach && peer.session.open_streams() == 0); }
  void Go(std::mt19937& random) {
    if (peer.ended) return;
    while (begun < kRequestsOfEach && open.size() < kMostAtOnce && peer.session.can_open()) {
      Stream* const stream = peer.session.Open(Request("POST", "/" + std::to_string(begun++), false));
      if (stream == nullptr) return;
      const uint32_t turns = random() % 8 == 0 ? static_cast<uint32_t>(random() % 50) : ~0u;
      open.push_back({stream, stream->id(), Pattern(random() % kMostBody, static_cast<uint32_t>(random())), 0, turns});
    }
    std::erase_if(open, [&](Asked& asked) { return Advance(asked); });
  }

  struct Asked {
    Stream* stream;
    int32_t id;
    std::string body;
    size_t at;
    uint32_t turns;  // until it is given up
  };
  // true: it is over.
  bool Advance(Asked& asked) {
    const int32_t id = asked.id;
    if (peer.over.contains(id)) {
      if (peer.complete.contains(id)) CHECK(peer.events.bodies[id] == asked.body);
      return true;
    }
    if (asked.turns != ~0u && asked.turns-- == 0) {
      peer.session.Reset(*asked.stream, ErrorCode::kCancel);
      return true;
    }
    if (asked.at < asked.body.size()) {
      asked.at += peer.session.Write(*asked.stream, Bytes(std::string_view(asked.body).substr(asked.at)));
    }
    if (asked.at == asked.body.size() && !asked.stream->finished()) peer.session.Finish(*asked.stream);
    return false;
  }

  // Knows which streams are gone.
  struct Peer : ClientPeer {
    explicit Peer(Descriptor socket) : ClientPeer(std::move(socket)) {}
    std::map<int32_t, bool> over, complete;
    void Note() {
      std::string log = events.TakeLog();
      for (size_t at = 0; at < log.size();) {
        const size_t end = log.find('\n', at);
        const std::string line = log.substr(at, end - at);
        at = end + 1;
        const int32_t id = std::atoi(line.c_str());
        if (line.ends_with(" closed")) over[id] = complete[id] = true;
        if (line.find(" reset ") != std::string::npos) over[id] = true;
        if (line.find(" head 5") != std::string::npos) failed[id] = true;
        if (failed.contains(id)) complete.erase(id);
      }
    }
    std::map<int32_t, bool> failed;
  } peer;
  std::vector<Asked> open;
  int begun = 0;
};

TEST("http2 storm: every body comes whole or not at all, and nothing is left") {
  Http2Mesh http;
  http.decider.KeepNothing();
  std::mt19937 random(7);
  std::vector<std::unique_ptr<StormClient>> clients;
  for (int i = 0; i < kClients; i++) clients.push_back(std::make_unique<StormClient>(http.Client()));
  std::vector<std::unique_ptr<ServerPeer>> apps;
  SetNonBlocking(http.mesh.app, true);
  int deaths = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!std::ranges::all_of(clients, [](const auto& client) { return client->done(); })) {
    CHECK(std::chrono::steady_clock::now() < end);
    if (Descriptor socket(accept4(http.mesh.app.get(), nullptr, nullptr, SOCK_CLOEXEC)); socket) {
      apps.push_back(std::make_unique<ServerPeer>(std::move(socket)));
      ServerPeer& app = *apps.back();
      app.events.on_head = [&app](Stream& stream, const Head&) { app.session.Respond(stream, Response(200, false)); };
      app.events.on_end = [&app, &random](Stream& stream) {
        if (random() % 20 == 0) return app.session.Reset(stream, ErrorCode::kInternalError);
        app.session.Write(stream, Bytes(app.events.bodies[stream.id()]));
        app.session.Finish(stream);
      };
    }
    for (const auto& client : clients) {
      client->Go(random);
      client->peer.Step();
      client->peer.Note();
    }
    for (const auto& app : apps) {
      app->Step();
      app->events.log.clear();
    }
    if (!apps.empty() && deaths < 5 && random() % 3000 == 0) {
      deaths++;
      apps.erase(apps.begin());
    }
  }
  SetNonBlocking(http.mesh.app, false);
  for (const auto& client : clients) CHECK(!client->peer.ended);
  clients.clear();
  EVENTUALLY(http.Connections() == 0);
}

}  // namespace
}  // namespace weft::test::http2
