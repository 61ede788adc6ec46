// The parser of what is peeked at, on hellos made by the library and on damaged ones.
#include "../core/tls/client_hello.h"

#include <openssl/bio.h>

#include "check.h"
#include "tls_pair.h"

namespace weft::test {
namespace {

using core::tls::ClientHello;
using core::tls::ParseClientHello;
using State = ClientHello::State;

ClientHello Parse(std::string_view text) { return ParseClientHello(std::as_bytes(std::span(text))); }

std::string Hello(const char* name, const std::string& protocols, int highest) {
  const core::tls::SslContext context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), highest);
  const core::tls::Ssl ssl(SSL_new(context.get()));
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  SSL_set_connect_state(ssl.get());
  if (name != nullptr) SSL_set_tlsext_host_name(ssl.get(), name);
  SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                      static_cast<unsigned>(protocols.size()));
  SSL_do_handshake(ssl.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  return std::string(data, static_cast<size_t>(size));
}

// The same message in records of so many bytes.
std::string Split(const std::string& hello, size_t size) {
  std::string split;
  for (size_t at = 5; at < hello.size(); at += size) {
    const std::string part = hello.substr(at, size);
    split += hello.substr(0, 3);
    split.push_back(static_cast<char>(part.size() >> 8));
    split.push_back(static_cast<char>(part.size()));
    split += part;
  }
  return split;
}

TEST("ClientHello: what it says, in any records and any reads") {
  const std::string hello = Hello("Web.Shop.example", "\x06weft/1\x02h2", TLS1_3_VERSION);
  for (const size_t size : {size_t{1}, size_t{3}, size_t{4}, size_t{50}, size_t{16'000}}) {
    const std::string split = Split(hello, size);
    for (size_t there = 0; there < split.size(); there++) {
      const ClientHello part = Parse(std::string_view(split).substr(0, there));
      CHECK(part.state == State::kNeedMore);
      CHECK(part.needed > there && part.needed <= split.size());
    }
    const ClientHello whole = Parse(split + "what follows");
    CHECK(whole.state == State::kParsed);
    CHECK_EQUAL(whole.server_name, "web.shop.example");
    CHECK(whole.protocols == (std::vector<std::string>{"weft/1", "h2"}));
    CHECK(whole.tls13);
  }
  const ClientHello old = Parse(Hello(nullptr, "", TLS1_2_VERSION));
  CHECK(old.state == State::kParsed);
  CHECK(old.server_name.empty() && old.protocols.empty() && !old.tls13);
}

TEST("ClientHello: other protocols are known by their first byte that differs") {
  for (const std::string_view text :
       {"GET / HTTP/1.1\r\n", "SSH-2.0-x", "\x16GET", "\x16\x03\x01\xff", "\x80\x2e\x01"}) {
    CHECK(Parse(text).state == State::kNotTls);
  }
  CHECK(Parse(std::string_view("\x16\x03\x01\x00\x10\x02", 6)).state == State::kNotTls);
  CHECK(Parse("").state == State::kNeedMore);
  CHECK_EQUAL(Parse("").needed, size_t{1});
}

TEST("ClientHello: damaged or too large ones are invalid, never waited for") {
  const std::string hello = Hello("a.example", "\x02h2", TLS1_3_VERSION);
  std::string longer = hello;
  longer[4]++;  // the record has a byte more than the message
  CHECK(Parse(longer + "x").state == State::kInvalid);
  std::string large("\x16\x03\x01\x40\x00\x01\x00\x40\x00", 9);
  CHECK(Parse(large).state == State::kInvalid);
  large[7] = 0x3f;
  CHECK(Parse(large).state == State::kInvalid);
  CHECK(Parse(Split(hello, 1).substr(0, 5 + 1) + std::string("\x17\x03\x01\x00\x01", 5)).state == State::kInvalid);
  for (size_t at = 9; at < hello.size(); at++) {
    for (const char bit : {'\x01', '\x80'}) {
      std::string damaged = hello;
      damaged[at] = static_cast<char>(damaged[at] ^ bit);
      const State state = Parse(damaged).state;
      CHECK(state == State::kParsed || state == State::kInvalid);
    }
  }
}

}  // namespace
}  // namespace weft::test
