// Which protocol first bytes are of, and that waiting for them loses none.
#include "../core/http/detect.h"
#include "http_mesh.h"

namespace weft::test {
namespace {

using core::Detected;

std::optional<Detected> DetectText(std::string_view text) { return core::http::Detect(std::as_bytes(std::span(text))); }

TEST("detect: every prefix says nothing, or what the whole says") {
  const std::string long_target = "GET /" + std::string(5000, 'x') + " HTTP/1.1\r\n";
  const std::pair<std::string, Detected> kCases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Detected::kHttp1},
      {"GET /index.html?a=b HTTP/1.0\r\n\r\n", Detected::kHttp1},
      {"\r\nOPTIONS * HTTP/1.1\r\n", Detected::kHttp1},
      {"CONNECT example.com:443 HTTP/1.1\r\n", Detected::kHttp1},
      {"GET http://example.com/ HTTP/1.1\r\n", Detected::kHttp1},
      {"PROPFIND /dav HTTP/1.1\r\n", Detected::kHttp1},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Detected::kHttp2},
      {"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Detected::kHttp1},
      {long_target, Detected::kHttp1},
      {"get key\r\n", Detected::kPlaintext},
      {"SET key value\r\n", Detected::kPlaintext},
      {"*1\r\n$4\r\nPING\r\n", Detected::kPlaintext},
      {"EHLO me\r\n", Detected::kPlaintext},
      {"ping", Detected::kPlaintext},
      {"M-SEARCH * HTTP/1.1\r\n", Detected::kHttp1},
      {"get / HTTP/1.1\r\n", Detected::kPlaintext},
      {"GET /\r\n", Detected::kPlaintext},
      {"SSH-2.0-OpenSSH_9.6\r\n", Detected::kPlaintext},
      {std::string(40, 'A'), Detected::kPlaintext},
      {std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8), Detected::kPlaintext},
      {"\n", Detected::kPlaintext},
      {" GET / HTTP/1.1\r\n", Detected::kPlaintext},
  };
  for (const auto& [text, expected] : kCases) {
    CHECK(DetectText(text) == expected);
    bool decided = false;
    for (size_t size = 0; size <= text.size(); size++) {
      const auto detected = DetectText(std::string_view(text).substr(0, size));
      CHECK(detected.has_value() || !decided);
      CHECK(!detected.has_value() || *detected == expected);
      decided = detected.has_value();
    }
  }
}

struct DetectingMesh {
  DetectingMesh() : http(Options()) {}
  MeshOptions Options() {
    MeshOptions options;
    options.decide = [this](core::ConnectionRecord& record) {
      detected.push_back(record.identity.detected);
      if (record.identity.detected == Detected::kNothing) {
        record.decision.action = core::Action::kDetect;
        record.decision.detect_timeout_ms = 300;
      } else if (record.identity.detected != Detected::kHttp1) {
        record.decision.action = core::Action::kRelayToApp;
        record.decision.destination_address = LocalEndpoint(app).address;
        record.decision.destination_port = LocalEndpoint(app).port;
      }
    };
    return options;
  }
  Detected Last() {
    Detected last{};
    http.mesh.WithEngine([&](core::Engine&) { last = detected.back(); });
    return last;
  }
  std::vector<Detected> detected;
  Descriptor app = Listen(LoopbackIpv4());
  HttpMesh http;
};

TEST("detect: bytes that come in pieces are all there for whoever takes the connection") {
  DetectingMesh mesh;
  const auto check = [&](const std::vector<std::string>& pieces, Detected expected) {
    const Descriptor client = mesh.http.Client();
    std::string all;
    for (const std::string& piece : pieces) {
      Send(client, piece);
      all += piece;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    const Descriptor app = Accept(expected == Detected::kHttp1 ? mesh.http.mesh.app : mesh.app);
    CHECK_EQUAL(Receive(app, all.size()), all);
    CHECK(mesh.Last() == expected);
  };
  check({"G", "ET", " / HT", "TP/1.1\r\nHost: w\r\n", "\r\n"}, Detected::kHttp1);
  check({"PRI * HT", "TP/2.0\r\n\r\nSM\r\n\r\n"}, Detected::kHttp2);
  check({"GE", "TTING key\r\n"}, Detected::kPlaintext);
}

TEST("detect: who stops in the middle is taken as it is, after its end or the time") {
  DetectingMesh mesh;
  const Descriptor finished = mesh.http.Client();
  Send(finished, "GET");
  Finish(finished);
  const Descriptor app = Accept(mesh.app);
  CHECK_EQUAL(ReceiveAll(app), "GET");
  CHECK(mesh.Last() == Detected::kPlaintext);
  const Descriptor slow = mesh.http.Client();
  Send(slow, "GET");
  const Descriptor later = Accept(mesh.app);
  CHECK_EQUAL(Receive(later, 3), "GET");
  CHECK(mesh.Last() == Detected::kTimeout);
}

}  // namespace
}  // namespace weft::test
