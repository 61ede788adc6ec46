// What HTTP/1.1 costs: CPU ns to read a typical head, and to read and forward it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "../../core/http1/reader.h"
#include "../../core/http1/writer.h"

namespace weft::test {
namespace {

using namespace core::http1;

constexpr int kRounds = 200'000;
constexpr int kTries = 5;

const std::string kShort =
    "GET /api/items/17 HTTP/1.1\r\nHost: shop:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

const std::string kBrowser =
    "GET /api/v1/products/1234?currency=EUR&page=2 HTTP/1.1\r\n"
    "Host: catalog.shop.svc.cluster.local:8080\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Authorization: Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "X-Request-Id: 7f1d3c52-6a0e-4d56-9a33-6f8f0b1d2c3e\r\n"
    "Connection: keep-alive\r\n\r\n";

const std::string kResponse =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.25.3\r\nDate: Mon, 02 Jun 2025 10:00:00 GMT\r\nContent-Type: "
    "application/json\r\n"
    "Content-Length: 24\r\nConnection: keep-alive\r\nCache-Control: no-store\r\n\r\n{\"id\":17,\"name\":\"a nut\"}";

double CpuNanoseconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// The best of some tries: what disturbs only adds.
template <typename Step>
void Measure(const char* what, size_t bytes, Step step) {
  double best = 1e18;
  for (int i = 0; i < kTries; i++) {
    const double before = CpuNanoseconds();
    for (int round = 0; round < kRounds; round++) step();
    best = std::min(best, (CpuNanoseconds() - before) / kRounds);
  }
  printf("%-56s %4zu bytes %5.0f ns\n", what, bytes, best);
}

void Require(bool condition) {
  if (!condition) abort();
}

void Requests(const char* what, const std::string& bytes) {
  const Limits limits;
  Head head;
  RequestReader reader(limits, head);
  const auto read = [&] {
    std::string_view input = bytes;
    Require(reader.Read(input) == Event::kHead);
  };
  const auto end = [&] {
    std::string_view rest;
    Require(reader.Read(rest) == Event::kEnd);
  };
  const std::string name = what;
  Measure((name + ": read").c_str(), bytes.size(), [&] { read(), end(); });
  std::string out;
  Measure((name + ": read, forwarded as it is").c_str(), bytes.size(), [&] {
    read();
    out.clear();
    Require(WriteRequest(head, {}, out).error == Error::kNone);
    end();
  });
  const std::string_view remove[] = {"l5d-client-id", "l5d-proxy-error", "l5d-dst-override", "l5d-require-id"};
  const NewField set[] = {{"l5d-client-id", "web.shop.serviceaccount.identity.weft.cluster.local"}};
  const RequestEdits edits{.fields = {.remove = remove, .set = set}};
  Measure((name + ": read, 4 fields removed, 1 set").c_str(), bytes.size(), [&] {
    read();
    out.clear();
    Require(WriteRequest(head, edits, out).error == Error::kNone);
    end();
  });
}

void Responses() {
  const Limits limits;
  Head head;
  ResponseReader reader(limits, head);
  std::string out;
  Measure("response: read with its body, forwarded as it is", kResponse.size(), [&] {
    std::string_view input = kResponse;
    reader.Expect({});
    Require(reader.Read(input) == Event::kHead);
    out.clear();
    Require(WriteResponse(head, {}, out).error == Error::kNone);
    Require(reader.Read(input) == Event::kBody);
    Require(reader.Read(input) == Event::kEnd);
  });
}

}  // namespace
}  // namespace weft::test

int main() {
  weft::test::Requests("curl", weft::test::kShort);
  weft::test::Requests("browser", weft::test::kBrowser);
  weft::test::Responses();
}
