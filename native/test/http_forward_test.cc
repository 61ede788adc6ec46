// What passes between a client and an app, message by message (RFC 9110, RFC 9112).
#include "http_mesh.h"

namespace weft::test {
namespace {

const std::string kGet = "GET /a?b=c HTTP/1.1\r\nHost: Web\r\nX: y\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

void CheckEnded(HttpMesh& http, size_t index, Ending ending, uint32_t status) {
  const RequestRecord record = http.decider.EndedAt(index);
  CHECK_EQUAL(static_cast<uint32_t>(record.outcome.ending), static_cast<uint32_t>(ending));
  CHECK_EQUAL(record.outcome.status, status);
}

TEST("http: a request and its response pass, and both records tell of them") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kGet);
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), kGet);
  Send(app, kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  const RequestRecord asked = http.decider.AskedAt(0);
  CHECK(asked.identity.method == core::http::Method::kGet);
  CHECK(asked.identity.version == core::http::Version::kHttp11);
  CHECK_EQUAL(asked.identity.pod, kPod);
  CHECK_EQUAL(asked.identity.http_context, 77u);
  CHECK_EQUAL(asked.identity.flags, 0u);
  http.mesh.WithEngine([&](core::Engine& engine) { CHECK_EQUAL(engine.NameOf(asked.identity.authority), "web"); });
  CheckEnded(http, 0, Ending::kComplete, 200);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.response_bytes, 2.0);
  CHECK_EQUAL(http.decider.EndedAt(0).identity.attempt, 1u);
}

TEST("http: what was asked can be read while a decision is asked for, and not afterwards") {
  HttpMesh http;
  std::string seen;
  http.decider.OnEachRequest([&](RequestRecord&) {
    core::http::Http& engine = http.decider.engine->http();
    std::string value;
    seen = std::string(engine.RequestMethod()) + " " + std::string(engine.RequestPath()) + " " +
           std::string(engine.RequestAuthority());
    CHECK(engine.RequestHeader("x", value));
    seen += " " + value;
    CHECK(!engine.RequestHeader("nothing", value));
  });
  const Descriptor client = http.Client();
  Send(client, "PUT /p HTTP/1.1\r\nHost: Web:80\r\nX: 1\r\nContent-Length: 0\r\nx: 2\r\n\r\n");
  const Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, kOk);
  Receive(client, kOk.size());
  CHECK_EQUAL(seen, "PUT /p web:80 1, 2");
  http.mesh.WithEngine([](core::Engine& engine) { CHECK(engine.http().RequestMethod().empty()); });
}

TEST("http: requests that come in one turn are asked about at once, as many as there are records, and each once") {
  HttpMesh http;
  std::string paths;
  http.decider.OnEachRequest([&](RequestRecord&) { paths += http.decider.engine->http().RequestPath(); });
  const std::vector<Descriptor> clients = http.ClientsAtOnce(5, kGet);
  std::vector<Descriptor> apps;
  while (apps.size() < clients.size()) {
    apps.push_back(http.App());
    CHECK_EQUAL(ReceiveHead(apps.back()), kGet);
    Send(apps.back(), kOk);
  }
  for (const Descriptor& client : clients) CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  CHECK_EQUAL(http.decider.asked(), 5u);
  CHECK_EQUAL(http.decider.most_at_once(), 3u);
  CHECK_EQUAL(paths, "/a?b=c/a?b=c/a?b=c/a?b=c/a?b=c");
  for (size_t i = 0; i < clients.size(); i++) CheckEnded(http, i, Ending::kComplete, 200);
}

TEST("http: a decision may close the engine while others are asked about, or are going to be") {
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord&) { http.decider.engine->Close(); });
  const std::vector<Descriptor> clients = http.ClientsAtOnce(5, kGet);
  for (const Descriptor& client : clients) CHECK_EQUAL(ReadError(client), ECONNRESET);
  http.mesh.WithEngine([](core::Engine&) {});  // clients hear of it while the others are still being asked about
  CHECK_EQUAL(http.decider.asked(), 3u);
  CHECK_EQUAL(http.decider.ended(), 3u);
  for (size_t i = 0; i < 3; i++) CheckEnded(http, i, Ending::kShutdown, 0);
}

TEST("http: requests of one connection, and of the next one, share a connection to the app") {
  HttpMesh http;
  Descriptor app;
  for (int connection = 0; connection < 2; connection++) {
    const Descriptor client = http.Client();
    for (int i = 0; i < 3; i++) {
      Send(client, kGet);
      if (!app) app = http.App();
      CHECK_EQUAL(ReceiveHead(app), kGet);
      Send(app, kOk);
      CHECK_EQUAL(Receive(client, kOk.size()), kOk);
    }
  }
  CHECK(IsUnvisited(http.mesh.app));
  EVENTUALLY(http.mesh.ended_count() == 2);
  CHECK(http.mesh.EndedAt(0).outcome.reason == core::CloseReason::kFinished);
  CHECK_EQUAL(http.mesh.EndedAt(0).outcome.bytes_to_upstream, 3.0 * static_cast<double>(kGet.size()));
  CHECK_EQUAL(http.mesh.EndedAt(0).outcome.bytes_to_client, 3.0 * static_cast<double>(kOk.size()));
}

TEST("http: pipelined requests are answered in order, one at a time") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client,
       "GET /1 HTTP/1.1\r\nHost: w\r\n\r\nPOST /2 HTTP/1.1\r\nHost: w\r\nContent-Length: 3\r\n\r\nabcGET /3 "
       "HTTP/1.1\r\nHo");
  const Descriptor app = http.App();
  CHECK(ReceiveHead(app).starts_with("GET /1 "));
  Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
  CHECK(ReceiveHead(app).starts_with("POST /2 "));
  CHECK_EQUAL(Receive(app, 3), "abc");
  Send(client, "st: w\r\n\r\n");
  Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
  CHECK(ReceiveHead(app).starts_with("GET /3 "));
  Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
  for (const char* digit : {"1", "2", "3"}) {
    ReceiveHead(client);
    CHECK_EQUAL(Receive(client, 1), digit);
  }
}

TEST("http: bytes that come one by one make the same messages") {
  HttpMesh http;
  const Descriptor client = http.Client();
  for (const char byte : kGet) {
    Send(client, {&byte, 1});
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), kGet);
  for (const char byte : kOk) {
    Send(app, {&byte, 1});
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
}

TEST("http: chunked bodies pass both ways with their trailers") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client,
       "POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\nTrailer: "
       "T\r\n\r\n3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nT: 1\r\n\r\n");
  const Descriptor app = http.App();
  const std::string head = ReceiveHead(app);
  CHECK(head.find("Transfer-Encoding: chunked\r\n") != std::string::npos);
  CHECK_EQUAL(ReceiveUntil(app, "T: 1\r\n\r\n"), "3\r\nabc\r\n4\r\ndefg\r\n0\r\nT: 1\r\n\r\n");
  Send(app, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nU: 2\r\n\r\n");
  CHECK_EQUAL(ReceiveUntil(client, "U: 2\r\n\r\n"),
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nU: 2\r\n\r\n");
  CheckEnded(http, 0, Ending::kComplete, 200);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.request_bytes, 7.0);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.flags, uint32_t{core::http::kHasTrailers});
}

TEST("http: a body that ends with its connection is chunked for HTTP/1.1, and so for HTTP/1.0") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kGet);
  Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, "HTTP/1.1 200 OK\r\n\r\nsome");
  app.Reset();
  CHECK_EQUAL(ReceiveUntil(client, "0\r\n\r\n"),
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\r\n");

  const Descriptor old = http.Client();
  Send(old, "GET / HTTP/1.0\r\n\r\n");
  app = http.App();
  const std::string head = ReceiveHead(app);
  CHECK(head.starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:"));
  Send(app, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  CHECK_EQUAL(ReceiveAll(old), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
}

TEST("http: responses without a body are over with their head") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Descriptor app;
  const auto exchange = [&](const std::string& request, const std::string& response, const std::string& expected) {
    Send(client, request);
    if (!app) app = http.App();
    ReceiveHead(app);
    Send(app, response);
    CHECK_EQUAL(Receive(client, expected.size()), expected);
  };
  exchange("HEAD / HTTP/1.1\r\nHost: w\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
  exchange(kGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
           "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n");
  exchange(kGet, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n");
  exchange(kGet, kOk, kOk);
  CHECK(IsUnvisited(http.mesh.app));
}

TEST("http: interim responses pass, and a body that waits for 100 comes after it") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  const Descriptor app = http.App();
  CHECK(ReceiveHead(app).find("Expect: 100-continue\r\n") != std::string::npos);
  Send(app, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
  CHECK_EQUAL(ReceiveHead(client), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
  CHECK_EQUAL(ReceiveHead(client), "HTTP/1.1 100 Continue\r\n\r\n");
  Send(client, "body");
  CHECK_EQUAL(Receive(app, 4), "body");
  Send(app, kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  Send(client, kGet);
  CHECK_EQUAL(ReceiveHead(app), kGet);
}

TEST("http: a final response to a body that was held back ends both connections") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  const Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
  CHECK_EQUAL(ReceiveAll(client), "HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  CHECK(ReadError(app) == ECONNRESET);
}

TEST("http: an upgrade makes a tunnel of bytes that half-closes") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, "GET /chat HTTP/1.1\r\nHost: w\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), "GET /chat HTTP/1.1\r\nHost: w\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  Send(app, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello");
  CHECK(ReceiveHead(client).starts_with("HTTP/1.1 101 "));
  CHECK_EQUAL(Receive(client, 5), "hello");
  CHECK_EQUAL(Receive(app, 5), "early");
  Send(client, "ping");
  CHECK_EQUAL(Receive(app, 4), "ping");
  Finish(client);
  CHECK_EQUAL(ReceiveAll(app), "");
  Send(app, "last");
  Finish(app);
  CHECK_EQUAL(ReceiveAll(client), "last");
  CheckEnded(http, 0, Ending::kComplete, 101);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.flags, uint32_t{core::http::kUpgraded});
  CHECK_EQUAL(http.decider.AskedAt(0).identity.flags, uint32_t{core::http::kUpgrade | core::http::kWebSocket});
  EVENTUALLY(http.mesh.statistics().connections == 0);
}

TEST("http: an upgrade that is not granted leaves HTTP as it was") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, "GET / HTTP/1.1\r\nHost: w\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n" + kGet);
  const Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  CHECK_EQUAL(ReceiveHead(app), kGet);
}

TEST("http: CONNECT makes a tunnel, and ends with its reset") {
  HttpMesh http;
  Descriptor client = http.Client();
  Send(client, "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n");
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n");
  Send(app, "HTTP/1.1 200 OK\r\n\r\n");
  CHECK_EQUAL(ReceiveHead(client), "HTTP/1.1 200 OK\r\n\r\n");
  Send(client, "question");
  CHECK_EQUAL(Receive(app, 8), "question");
  Reset(client);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnded(http, 0, Ending::kClientReset, 200);
}

TEST("http: what is of one connection is not of the next") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client,
       "GET http://other/x HTTP/1.1\r\nHost: web\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n\r\n");
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), "GET http://other/x HTTP/1.1\r\nHost: other\r\n\r\n");
  Send(app, "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 2\r\nContent-Length: 0\r\n\r\n");
  CHECK_EQUAL(ReceiveAll(client), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

TEST("http: an app of another pod of the node is dialled from there") {
  HttpMesh http;
  const Descriptor listener = Listen(LoopbackIpv4());
  http.mesh.broker->AddListener(kPod + 1, listener);
  http.decider.OnEachRequest([](RequestRecord& record) { record.decision.app_pod = kPod + 1; });
  EVENTUALLY(http.mesh.statistics().listeners == 2);
  const Descriptor client = http.Client();
  Send(client, kGet);
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), kGet);
  // Another pod's connection is another one.
  http.decider.OnEachRequest([](RequestRecord&) {});
  Send(app, kOk);
  Receive(client, kOk.size());
  Send(client, kGet);
  const Descriptor own = http.App();
  CHECK_EQUAL(ReceiveHead(own), kGet);
}

TEST("http: header edits are made in requests and responses") {
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    core::http::Http& engine = http.decider.engine->http();
    record.decision.request_edits =
        engine.DefineHeaderEdits({.remove = {"x"}, .set = {{"l5d-client-id", "web"}}, .add = {{"A", "b"}}});
    record.decision.response_edits = engine.DefineHeaderEdits({.remove = {"server"}, .set = {}, .add = {}});
    CHECK(record.decision.request_edits != 0 && record.decision.response_edits != 0);
    CHECK_EQUAL(engine.DefineHeaderEdits({.remove = {}, .set = {{"Content-Length", "5"}}, .add = {}}), 0u);
    CHECK_EQUAL(engine.DefineHeaderEdits({.remove = {}, .set = {{"X", "a\r\nb: c"}}, .add = {}}), 0u);
  });
  const Descriptor client = http.Client();
  Send(client, "GET / HTTP/1.1\r\nHost: w\r\nX: y\r\nL5d-Client-Id: forged\r\n\r\n");
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), "GET / HTTP/1.1\r\nHost: w\r\nl5d-client-id: web\r\nA: b\r\n\r\n");
  Send(app, "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 0\r\n\r\n");
  CHECK_EQUAL(ReceiveHead(client), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

}  // namespace
}  // namespace weft::test
