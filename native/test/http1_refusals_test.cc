// The table of refusals: malformed and ambiguous messages, each with its one answer. Nothing behind one is read.
#include <algorithm>
#include <set>
#include <vector>

#include "check.h"
#include "http1_transcript.h"

namespace weft::test {
namespace {

using namespace core::http1;

struct Refusal {
  std::string bytes;
  const char* name;
  unsigned status;
};

const std::string kSmuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

size_t tables_checked = 0, refusals_checked = 0;

// Behind it follows what somebody might want to smuggle.
template <typename Read>
void CheckRefusals(const std::vector<Refusal>& refusals, size_t heads, Read read) {
  std::set<std::string> seen;
  for (const Refusal& refusal : refusals) {
    try {
      CHECK(seen.insert(refusal.bytes).second);
      const std::string bytes = refusal.bytes + kSmuggled;
      const Transcript transcript = ReadInAllSplits(bytes, [&](const Split& split) { return read(bytes, split); });
      CHECK_EQUAL(Name(transcript.error), refusal.name);
      CHECK_EQUAL(Status(transcript.error), refusal.status);
      CHECK_EQUAL(transcript.heads, heads);
      CHECK(transcript.text.find("request GET /smuggled") == std::string::npos);
    } catch (const std::exception& error) {
      throw std::runtime_error(refusal.bytes.substr(0, 300) + "\n" + error.what());
    }
  }
  tables_checked++;
  refusals_checked += seen.size();
}

Transcript Read(const std::string& bytes, const Split& split) { return ReadRequests(bytes, split); }

// Of a request that has Host.
Refusal Fields(const std::string& fields, const char* name, unsigned status = 400) {
  return {"POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n", name, status};
}
Refusal Line(const std::string& line, const char* name, unsigned status = 400) {
  return {line + "\r\nHost: a\r\n\r\n", name, status};
}
Refusal Host(const std::string& host) { return {"GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", "host_invalid", 400}; }
Refusal Target(const std::string& target, const char* name) { return Line("GET " + target + " HTTP/1.1", name); }
Refusal Connect(const std::string& target) { return Line("CONNECT " + target + " HTTP/1.1", "authority_invalid"); }
Refusal Chunked(const std::string& body, const char* name, unsigned status = 400) {
  return {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, name, status};
}
std::string Nul() { return std::string(1, '\0'); }
std::string Repeat(const std::string& text, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; i++) repeated += text;
  return repeated;
}

TEST("HTTP/1.1 refusals: start lines") {
  const std::vector<Refusal> refusals = {
      Line("GET /", "version_missing"),
      Line("GET", "request_line_invalid"),
      Line("GET ", "request_line_invalid"),
      Line("GET  / HTTP/1.1", "request_line_invalid"),
      Line(" GET / HTTP/1.1", "request_line_invalid"),
      Line("\tGET / HTTP/1.1", "method_invalid"),
      Line(" ", "request_line_invalid"),
      Line("/ HTTP/1.1", "method_invalid"),
      Line("GET\t/ HTTP/1.1", "method_invalid"),
      Line("GET\v/ HTTP/1.1", "method_invalid"),
      Line("G:T / HTTP/1.1", "method_invalid"),
      Line("G\"T / HTTP/1.1", "method_invalid"),
      Line("G(T / HTTP/1.1", "method_invalid"),
      Line("G\x80T / HTTP/1.1", "method_invalid"),
      Line("G\x7fT / HTTP/1.1", "method_invalid"),
      Line("{\"a\":1} / HTTP/1.1", "method_invalid"),
      Line("G" + Nul() + "T / HTTP/1.1", "nul"),
      Line("G\rT / HTTP/1.1", "bare_cr"),
      Line("\rGET / HTTP/1.1", "bare_cr"),
      Line("HTTP/1.1 200 OK", "method_invalid"),
      Line(std::string(65, 'G') + " / HTTP/1.1", "method_too_long", 501),
      Line("GET /  HTTP/1.1", "version_invalid"),
      Line("GET / HTTP/1.1 ", "version_invalid"),
      Line("GET / HTTP/1.1\t", "version_invalid"),
      Line("GET / HTTP/1.1 x", "version_invalid"),
      Line("GET /a b HTTP/1.1", "version_invalid"),
      Line("GET / http/1.1", "version_invalid"),
      Line("GET / HTTP/1", "version_invalid"),
      Line("GET / HTTP/1.", "version_invalid"),
      Line("GET / HTTP/1.10", "version_invalid"),
      Line("GET / HTTP/01.1", "version_invalid"),
      Line("GET / HTTP/1,1", "version_invalid"),
      Line("GET / HTTP/+1.1", "version_invalid"),
      Line("GET / HTTP/a.1", "version_invalid"),
      Line("GET / HTTQ/1.1", "version_invalid"),
      Line("GET / ICAP/1.0", "version_invalid"),
      Line("GET / RTSP/1.0", "version_invalid"),
      Line("GET / ", "version_invalid"),
      Line("GET / HTTP/1.1\r", "bare_cr"),
      Line("GET / HTTP/1\r.1", "bare_cr"),
      Line("GET / HTTP/1.1" + Nul(), "nul"),
      Line("GET / HTTP/0.9", "version_unsupported", 505),
      Line("GET / HTTP/1.2", "version_unsupported", 505),
      Line("GET / HTTP/1.9", "version_unsupported", 505),
      Line("GET / HTTP/2.0", "version_unsupported", 505),
      Line("GET / HTTP/3.0", "version_unsupported", 505),
      Line("GET / HTTP/0.0", "version_unsupported", 505),
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version_unsupported", 505},
      {"GET / HTTP/1.1\nHost: a\n\n", "bare_lf", 400},
      {"GET /\n", "bare_lf", 400},
      {"\n", "bare_lf", 400},
      {"\r\n\r\n", "request_line_invalid", 400},
      {"\r\n\n", "bare_lf", 400},
      {"\r\r\n", "bare_cr", 400},
      {"\x16\x03\x01\x02" + Nul() + "\x01\n", "bare_lf", 400},
      {"GET /" + std::string(70'000, 'a'), "target_too_long", 414},
      {std::string(70'000, 'a'), "target_too_long", 414},
  };
  CheckRefusals(refusals, 0, Read);
}

TEST("HTTP/1.1 refusals: targets and authorities") {
  const std::vector<Refusal> refusals = {
      Target("/a#b", "target_invalid"),
      Target("/a\tb", "target_invalid"),
      Target("/a\x01", "target_invalid"),
      Target("/a\x1f", "target_invalid"),
      Target("/a\x7f", "target_invalid"),
      Target("/a\vb", "target_invalid"),
      Target("/a" + Nul(), "nul"),
      Target("/a\rb", "bare_cr"),
      Target("/\r", "bare_cr"),
      Target("a", "target_form_invalid"),
      Target("?a", "target_form_invalid"),
      Target("*", "target_form_invalid"),
      Target("**", "target_form_invalid"),
      Target("\\a", "target_form_invalid"),
      Target("a:80", "target_form_invalid"),
      Target("http:/a", "target_form_invalid"),
      Target("http:a", "target_form_invalid"),
      Target("ftp://a/", "target_form_invalid"),
      Target("file:///a", "target_form_invalid"),
      Target("javascript:0", "target_form_invalid"),
      Target("http://", "authority_invalid"),
      Target("http:///a", "authority_invalid"),
      Target("http://?a", "authority_invalid"),
      Target("http://user@a/", "authority_invalid"),
      Target("http://user:word@a/", "authority_invalid"),
      Target("http://a:b/", "authority_invalid"),
      Target("http://a:65536/", "authority_invalid"),
      Target("http://a:100000/", "authority_invalid"),
      Target("http://a:-1/", "authority_invalid"),
      Target("http://a:80:80/", "authority_invalid"),
      Target("http://:80/", "authority_invalid"),
      Target("http://[::1/", "authority_invalid"),
      Target("http://[::1]a/", "authority_invalid"),
      Target("http://[]/", "authority_invalid"),
      Target("http://a]/", "authority_invalid"),
      Target("http://[[::1]]/", "authority_invalid"),
      Target("http://a\\b/", "authority_invalid"),
      Target("http://a,b/", "authority_invalid"),
      Target("http://\x80/", "authority_invalid"),
      Target("http://" + std::string(258, 'a') + "/", "authority_invalid"),
      Line("POST * HTTP/1.1", "target_form_invalid"),
      Line("connect a:80 HTTP/1.1", "target_form_invalid"),
      Connect("/"),
      Connect("*"),
      Connect("a"),
      Connect("a:"),
      Connect(":80"),
      Connect("a:0x50"),
      Connect("a:80/"),
      Connect("http://a:80/"),
      Connect("user@a:80"),
      Connect("::1:80"),
      {"GET / HTTP/1.1\r\n\r\n", "host_missing", 400},
      {"GET http://a/ HTTP/1.1\r\n\r\n", "host_missing", 400},
      {"CONNECT a:80 HTTP/1.1\r\n\r\n", "host_missing", 400},
      {"GET / HTTP/1.1\r\nHosts: a\r\n\r\n", "host_missing", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "host_duplicate", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n", "host_duplicate", 400},
      {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "host_duplicate", 400},
      {"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "host_duplicate", 400},
      {"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", "host_invalid", 400},
      {"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", "host_invalid", 400},
      Host(""),
      Host("a, b"),
      Host("a b"),
      Host("a/b"),
      Host("a?b"),
      Host("a#b"),
      Host("a\\b"),
      Host("user@a"),
      Host("http://a"),
      Host("a:b"),
      Host("a:70000"),
      Host("a:80 "
           ":81"),
      Host("::1"),
      Host("[::1"),
      Host("\"a\""),
      Host("<a>"),
      Host("\xc3\xa4"),
  };
  CheckRefusals(refusals, 0, Read);
}

TEST("HTTP/1.1 refusals: field lines") {
  const std::vector<Refusal> refusals = {
      Fields("A\r\n", "missing_colon"),
      Fields("Transfer-Encoding\r\n", "missing_colon"),
      Fields(": a\r\n", "empty_field_name"),
      Fields(":\r\n", "empty_field_name"),
      Fields("A : b\r\n", "space_before_colon"),
      Fields("A\t: b\r\n", "space_before_colon"),
      Fields("Content-Length : 5\r\n", "space_before_colon"),
      Fields("Transfer-Encoding \t: chunked\r\n", "space_before_colon"),
      Fields("A b: c\r\n", "field_name_invalid"),
      Fields("A b\r\n", "field_name_invalid"),
      Fields("A(b): c\r\n", "field_name_invalid"),
      Fields("A\"b: c\r\n", "field_name_invalid"),
      Fields("A/b: c\r\n", "field_name_invalid"),
      Fields("[A]: c\r\n", "field_name_invalid"),
      Fields("A\x80: c\r\n", "field_name_invalid"),
      Fields("A\x7f: c\r\n", "field_name_invalid"),
      Fields("\x01"
             "A: c\r\n",
             "field_name_invalid"),
      Fields("Content-Length\v: 5\r\n", "field_name_invalid"),
      Fields("\vContent-Length: 5\r\n", "field_name_invalid"),
      Fields("\xef\xbb\xbfTransfer-Encoding: chunked\r\n", "field_name_invalid"),
      Fields("A" + Nul() + ": b\r\n", "nul"),
      Fields("A: b" + Nul() + "\r\n", "nul"),
      Fields("A: " + Nul() + "b\r\n", "nul"),
      Fields("Transfer-Encoding: chunked" + Nul() + "\r\n", "nul"),
      Fields("A\r: b\r\n", "bare_cr"),
      Fields("A: b\rc\r\n", "bare_cr"),
      Fields("A: b\r\r\n", "bare_cr"),
      Fields("A:\r\r\n", "bare_cr"),
      Fields("A: b\rTransfer-Encoding: chunked\r\n", "bare_cr"),
      Fields("\r\r\n", "bare_cr"),
      Fields("A: b\n", "bare_lf"),
      Fields("A: b\nTransfer-Encoding: chunked\r\n", "bare_lf"),
      Fields("A: b\n\r\n", "bare_lf"),
      Fields("\n", "bare_lf"),
      Fields("A: b\x01\r\n", "field_value_invalid"),
      Fields("A: b\x1b[0m\r\n", "field_value_invalid"),
      Fields("A: b\x7f\r\n", "field_value_invalid"),
      Fields("A: b\v\r\n", "field_value_invalid"),
      Fields("A: b\f\r\n", "field_value_invalid"),
      Fields("Transfer-Encoding:\vchunked\r\n", "field_value_invalid"),
      Fields(" A: b\r\n", "obs_fold"),
      Fields("A: b\r\n c\r\n", "obs_fold"),
      Fields("A: b\r\n\tc\r\n", "obs_fold"),
      Fields("A: b\r\n \r\n", "obs_fold"),
      Fields("Transfer-Encoding:\r\n chunked\r\n", "obs_fold"),
      Fields("Content-Length: 1\r\n 0\r\n", "obs_fold"),
      {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "obs_fold", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "obs_fold", 400},
      Fields(Repeat("A: b\r\n", 100), "too_many_fields", 431),
      Fields("A: " + std::string(66'000, 'b') + "\r\n", "head_too_large", 431),
      Fields(Repeat("A: " + std::string(1000, 'b') + "\r\n", 66), "head_too_large", 431),
  };
  CheckRefusals(refusals, 0, Read);
}

TEST("HTTP/1.1 refusals: framing and connection") {
  const std::vector<Refusal> refusals = {
      Fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "content_length_and_transfer_encoding"),
      Fields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "content_length_and_transfer_encoding"),
      Fields("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "content_length_and_transfer_encoding"),
      Fields("transfer-encoding: CHUNKED\r\ncontent-length: 5\r\n", "content_length_and_transfer_encoding"),
      Fields("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "content_length_and_transfer_encoding"),
      Fields("Content-Length: 5\r\nContent-Length: 6\r\n", "content_length_duplicate"),
      Fields("Content-Length: 5\r\nContent-Length: 5\r\n", "content_length_duplicate"),
      Fields("Content-Length: 0\r\ncontent-LENGTH: 0\r\n", "content_length_duplicate"),
      Fields("Content-Length: 5\r\nX: y\r\nContent-Length:\r\n", "content_length_duplicate"),
      Fields("Content-Length: 5, 5\r\n", "content_length_invalid"),
      Fields("Content-Length: 5,6\r\n", "content_length_invalid"),
      Fields("Content-Length: ,5\r\n", "content_length_invalid"),
      Fields("Content-Length:\r\n", "content_length_invalid"),
      Fields("Content-Length: -1\r\n", "content_length_invalid"),
      Fields("Content-Length: +1\r\n", "content_length_invalid"),
      Fields("Content-Length: 0x5\r\n", "content_length_invalid"),
      Fields("Content-Length: 5a\r\n", "content_length_invalid"),
      Fields("Content-Length: 5 5\r\n", "content_length_invalid"),
      Fields("Content-Length: 5;\r\n", "content_length_invalid"),
      Fields("Content-Length: 1e2\r\n", "content_length_invalid"),
      Fields("Content-Length: 1_0\r\n", "content_length_invalid"),
      Fields("Content-Length: 5.0\r\n", "content_length_invalid"),
      Fields("Content-Length: \"5\"\r\n", "content_length_invalid"),
      Fields("Content-Length: five\r\n", "content_length_invalid"),
      Fields("Content-Length: \xd9\xa5\r\n", "content_length_invalid"),
      Fields("Content-Length: 9223372036854775808\r\n", "content_length_overflow"),
      Fields("Content-Length: 18446744073709551616\r\n", "content_length_overflow"),
      Fields("Content-Length: 18446744073709551621\r\n", "content_length_overflow"),
      Fields("Content-Length: 99999999999999999999999999\r\n", "content_length_overflow"),
      Fields("Transfer-Encoding:\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: ,\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: chunked,\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: ,chunked\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: chunked;q=1\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: \"chunked\"\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: chunked chunked\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: chunked, chunked\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: chun\xe4\r\n", "transfer_encoding_invalid"),
      Fields("Transfer-Encoding: gzip\r\n", "transfer_encoding_not_chunked"),
      Fields("Transfer-Encoding: identity\r\n", "transfer_encoding_not_chunked"),
      Fields("Transfer-Encoding: xchunked\r\n", "transfer_encoding_not_chunked"),
      Fields("Transfer-Encoding: chunkedx\r\n", "transfer_encoding_not_chunked"),
      Fields("Transfer-Encoding: chunked, identity\r\n", "transfer_encoding_not_chunked"),
      Fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "transfer_encoding_not_chunked"),
      Fields("Transfer-Encoding: gzip, chunked\r\n", "transfer_encoding_unsupported", 501),
      Fields("Transfer-Encoding: identity, chunked\r\n", "transfer_encoding_unsupported", 501),
      Fields("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "transfer_encoding_unsupported", 501),
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http10", 400},
      {"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http10",
       400},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "connect_with_body", 400},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "connect_with_body", 400},
      Fields("Connection: a b\r\n", "connection_invalid"),
      Fields("Connection: \"close\"\r\n", "connection_invalid"),
      Fields("Connection: close;\r\n", "connection_invalid"),
      Fields("Connection: close, \xe4\r\n", "connection_invalid"),
      Fields("Connection: Content-Length\r\nContent-Length: 5\r\n", "connection_names_framing"),
      Fields("Connection: close, host\r\n", "connection_names_framing"),
      Fields("Connection: " + Repeat("a,", 32) + "a\r\n", "too_many_connection_options", 431),
      Fields(Repeat("Connection: a\r\n", 33), "too_many_connection_options", 431),
      Fields("Connection: " + std::string(40, ',') + "\r\n", "too_many_connection_options", 431),
      Fields("Connection: Upgrade\r\nUpgrade: a b\r\n", "upgrade_invalid"),
      Fields("Connection: Upgrade\r\nUpgrade:\r\n", "upgrade_invalid"),
      Fields("Upgrade: a/\r\n", "upgrade_invalid"),
      Fields("Upgrade: a/1/2\r\n", "upgrade_invalid"),
  };
  CheckRefusals(refusals, 0, Read);
}

TEST("HTTP/1.1 refusals: chunks and trailers") {
  const std::vector<Refusal> refusals = {
      Chunked("\r\n", "bare_cr"),
      Chunked(" 5\r\nhello", "chunk_size_invalid"),
      Chunked("-1\r\n", "chunk_size_invalid"),
      Chunked("+5\r\nhello", "chunk_size_invalid"),
      Chunked("0x5\r\nhello", "chunk_size_invalid"),
      Chunked("5g\r\nhello", "chunk_size_invalid"),
      Chunked("g\r\n", "chunk_size_invalid"),
      Chunked(";a\r\n", "chunk_size_invalid"),
      Chunked("5_0\r\n", "chunk_size_invalid"),
      Chunked("5,5\r\n", "chunk_size_invalid"),
      Chunked("5\v\r\n", "chunk_size_invalid"),
      Chunked("\xd9\xa5\r\n", "chunk_size_invalid"),
      Chunked("5" + Nul() + "\r\n", "nul"),
      Chunked(Nul(), "nul"),
      Chunked("5\nhello\n0\n\n", "bare_lf"),
      Chunked("\n", "bare_lf"),
      Chunked("5;a\nhello\r\n0\r\n\r\n", "bare_lf"),
      Chunked("5;\nhello\r\n0\r\n\r\n", "bare_lf"),
      Chunked("5;a=\"\n\"\r\n", "bare_lf"),
      Chunked("5\rhello", "bare_cr"),
      Chunked("5\r\rhello", "bare_cr"),
      Chunked("5;a\rX\nhello", "bare_cr"),
      Chunked("5;a=\"\r\n\"\r\nhello", "bare_cr"),
      Chunked("8000000000000000\r\n", "chunk_size_overflow"),
      Chunked("ffffffffffffffff\r\n", "chunk_size_overflow"),
      Chunked("10000000000000005\r\nhello", "chunk_size_overflow"),
      Chunked("00000000000000005\r\nhello", "chunk_size_overflow"),
      Chunked("5 \r\nhello", "bare_cr"),
      Chunked("5\t\r\nhello", "bare_cr"),
      Chunked("5 a\r\nhello", "chunk_extension_invalid"),
      Chunked("5 5\r\nhello", "chunk_extension_invalid"),
      Chunked("5;;a\r\nhello", "chunk_extension_invalid"),
      Chunked("5;=a\r\nhello", "chunk_extension_invalid"),
      Chunked("5;a b\r\nhello", "chunk_extension_invalid"),
      Chunked("5;a=b c\r\nhello", "chunk_extension_invalid"),
      Chunked("5;a=\"b\"c\r\nhello", "chunk_extension_invalid"),
      Chunked("5;a=\"\x01\"\r\nhello", "chunk_extension_invalid"),
      Chunked("5;a=\"\\\x7f\"\r\nhello", "chunk_extension_invalid"),
      Chunked("5;a=b=c\r\nhello", "chunk_extension_invalid"),
      Chunked("5;a\x80\r\nhello", "chunk_extension_invalid"),
      Chunked("5;\r\nhello", "bare_cr"),
      Chunked("5;a=\r\nhello", "bare_cr"),
      Chunked("5;a \r\nhello", "bare_cr"),
      Chunked("5;a;\r\nhello", "bare_cr"),
      Chunked("5;a=\"b" + Nul() + "\"\r\nhello", "nul"),
      Chunked("5;" + std::string(5000, 'a') + "\r\nhello", "chunk_line_too_long"),
      Chunked(Repeat("1;" + std::string(2000, 'a') + "\r\nb\r\n", 9), "chunk_extensions_too_large"),
      Chunked("5\r\nhelloX\r\n0\r\n\r\n", "chunk_end_invalid"),
      Chunked("5\r\nhello0\r\n\r\n", "chunk_end_invalid"),
      Chunked("5\r\nhello\n0\r\n\r\n", "chunk_end_invalid"),
      Chunked("5\r\nhello\rX0\r\n\r\n", "chunk_end_invalid"),
      Chunked("5\r\nhell\r\n0\r\n\r\n", "chunk_end_invalid"),
      Chunked("0\r\n\n", "bare_lf"),
      Chunked("0\r\nA: b\n\r\n", "bare_lf"),
      Chunked("0\r\n\r\r\n", "bare_cr"),
      Chunked("0\r\nA: b\rc\r\n\r\n", "bare_cr"),
      Chunked("0\r\nA\r\n\r\n", "missing_colon"),
      Chunked("0\r\n: b\r\n\r\n", "empty_field_name"),
      Chunked("0\r\nA : b\r\n\r\n", "space_before_colon"),
      Chunked("0\r\nA b: c\r\n\r\n", "field_name_invalid"),
      Chunked("0\r\nA: \x01\r\n\r\n", "field_value_invalid"),
      Chunked("0\r\nA: " + Nul() + "\r\n\r\n", "nul"),
      Chunked("0\r\n A: b\r\n\r\n", "obs_fold"),
      Chunked("0\r\nA: b\r\n c\r\n\r\n", "obs_fold"),
      Chunked("0\r\nContent-Length: 5\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nA: b\r\nhost: a\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nConnection: close\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nTrailer: a\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nUpgrade: a\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nTE: trailers\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nExpect: 100-continue\r\n\r\n", "trailer_forbidden"),
      Chunked("0\r\nGET / HTTP/1.1\r\n\r\n", "field_name_invalid"),
      Chunked("0\r\n" + Repeat("A: b\r\n", 101) + "\r\n", "too_many_fields", 431),
      Chunked("0\r\nA: " + std::string(17'000, 'b') + "\r\n\r\n", "trailers_too_large", 431),
  };
  CheckRefusals(refusals, 1, Read);
}

// Cut off anywhere: what was there is no message, and says so.
TEST("HTTP/1.1 refusals: truncated messages") {
  const std::string requests[] = {
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n",
  };
  for (const std::string& request : requests) {
    for (size_t size = 1; size < request.size(); size++) {
      const std::string part = request.substr(0, size);
      const Transcript transcript = ReadInAllSplits(part, [&](const Split& split) { return Read(part, split); });
      CHECK_EQUAL(Name(transcript.error), "truncated");
      CHECK(transcript.text.find("end\n") == std::string::npos);
    }
  }
}

TEST("HTTP/1.1 refusals: none is lost") {
  if (tables_checked != 5) throw Skip{"not all tables were checked"};
  CHECK(refusals_checked >= 320);
}

// The client is answered with 502 in all these cases; what is checked is that it is never shown as a response.
TEST("HTTP/1.1 refusals: responses") {
  struct Case {
    std::string bytes;
    const char* name;
    Exchange exchange = {};
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::vector<Case> cases = {
      {"\r\nHTTP/1.1 200 OK\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1 \r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1 20\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1 2000\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1 200OK\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1\t200 OK\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1  200 OK\r\n\r\n", "status_invalid"},
      {"HTTP/1.1 099 OK\r\n\r\n", "status_invalid"},
      {"HTTP/1.1 -20 OK\r\n\r\n", "status_invalid"},
      {"HTTP/1.1 2 0 OK\r\n\r\n", "status_invalid"},
      {"HTTP/1.1 2x0 OK\r\n\r\n", "status_invalid"},
      {"HTTP/1.1 200 O\x01K\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1 200 O" + Nul() + "K\r\n\r\n", "nul"},
      {"HTTP/1.1 200 O\rK\r\n\r\n", "bare_cr"},
      {"HTTP/1.1 200\r\r\n\r\n", "bare_cr"},
      {"HTTP/1.1 200 OK\n\n", "bare_lf"},
      {"HTTP/2.0 200 OK\r\n\r\n", "version_unsupported"},
      {"HTTP/0.9 200 OK\r\n\r\n", "version_unsupported"},
      {"http/1.1 200 OK\r\n\r\n", "version_invalid"},
      {"ICY_/1.1 200 OK\r\n\r\n", "version_invalid"},
      {"GET / HTTP/1.1\r\n\r\n", "status_line_invalid"},
      {"<html>\r\n\r\n", "status_line_invalid"},
      {ok + "A: b\r\n c\r\n\r\n", "obs_fold"},
      {ok + "A : b\r\n\r\n", "space_before_colon"},
      {ok + "A\r\n\r\n", "missing_colon"},
      {ok + "A: b\x01\r\n\r\n", "field_value_invalid"},
      {ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "content_length_duplicate"},
      {ok + "Content-Length: 5, 5\r\n\r\n", "content_length_invalid"},
      {ok + "Content-Length: -5\r\n\r\n", "content_length_invalid"},
      {ok + "Content-Length: 99999999999999999999\r\n\r\n", "content_length_overflow"},
      {ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "content_length_and_transfer_encoding"},
      {ok + "Transfer-Encoding: gzip\r\n\r\n", "transfer_encoding_not_chunked"},
      {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer_encoding_unsupported"},
      {ok + "Transfer-Encoding: chunked, chunked\r\n\r\n", "transfer_encoding_invalid"},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http10"},
      {ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
       "content_length_and_transfer_encoding",
       {.head = true}},
      {ok + "Connection: content-length\r\nContent-Length: 5\r\n\r\n", "connection_names_framing"},
      {ok + "Upgrade: a b\r\n\r\n", "upgrade_invalid"},
      {"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", "interim_with_body"},
      {"HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n", "interim_with_body"},
      {"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", "unexpected_switch"},
      {"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", "unexpected_switch", {.connect = true}},
      {"HTTP/1.1 101 Switching\r\nUpgrade: a\r\n\r\n", "unexpected_switch", {.upgrade = true}},
      {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n", "unexpected_switch", {.upgrade = true}},
      {"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "unexpected_switch", {.upgrade = true}},
      {"HTTP/1.0 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", "unexpected_switch", {.upgrade = true}},
  };
  for (const Case& refused : cases) {
    const Transcript transcript = ReadInAllSplits(
        refused.bytes, [&](const Split& split) { return ReadResponse(refused.bytes, split, refused.exchange); });
    if (Name(transcript.error) != refused.name || transcript.heads != 0) {
      throw std::runtime_error(refused.bytes + transcript.text);
    }
  }
  const auto error = [](const std::string& bytes) {
    return Name(ReadInAllSplits(bytes, [&](const Split& split) { return ReadResponse(bytes, split); }).error);
  };
  CHECK_EQUAL(error(Repeat("HTTP/1.1 100 Continue\r\n\r\n", 33)), "too_many_interim_responses");
  CHECK_EQUAL(error("HTTP/1.1 100 Continue\r\n\r\n"), "truncated");
  CHECK_EQUAL(error(ok + "Content-Length: 5\r\n\r\nhell"), "truncated");
  CHECK_EQUAL(error(ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nhell"), "truncated");
  CHECK_EQUAL(error(ok + "Transfer-Encoding: chunked\r\n\r\n4\nhell"), "bare_lf");
  CHECK_EQUAL(error(ok + "Content-Length: 0\r\n\r\n" + ok), "unexpected_response");
}

TEST("HTTP/1.1 errors: every one has a name of its own") {
  std::set<std::string_view> names;
  for (unsigned i = 0; i <= static_cast<unsigned>(Error::kLast); i++) {
    CHECK(names.insert(Name(static_cast<Error>(i))).second);
    CHECK(i == 0 || Status(static_cast<Error>(i)) >= 400);
  }
}

}  // namespace
}  // namespace weft::test
