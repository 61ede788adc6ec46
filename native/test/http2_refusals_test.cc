// The table of refusals of HTTP/2: malformed connections, frames and heads, each with its one answer. Of none of them
// anything is shown as a request, but for those where it says so.
#include <set>

#include "check.h"
#include "http2_frames.h"
#include "http2_peers.h"

namespace weft::test {
namespace {

using namespace http2;

struct Refusal {
  std::string name;
  std::string bytes;  // behind the preface, unless they are the whole
  // Among what is answered.
  std::string answer;
  // What is shown of it.
  std::string shown = "";
  bool whole = false;
};

std::string Goaway(const char* code) { return std::string("goaway ") + code + "\n"; }
std::string ResetsFirst(const char* code) { return std::string("1 reset ") + code + "\n"; }

struct Played {
  std::string reaction, log;
};

Played Play(const std::string& bytes, size_t step) {
  Recorder recorder;
  ServerSession session({}, recorder);
  recorder.session = &session;
  recorder.on_end = [&](Stream& stream) { session.Respond(stream, Response(204)); };
  recorder.on_refused = [&](Stream& stream) { session.Respond(stream, Response(400)); };
  std::string sent, piece(65536, '\0');
  for (size_t at = 0; at < bytes.size(); at += step) {
    const bool fine = session.Receive(Bytes(std::string_view(bytes).substr(at, step)), 1);
    while (const size_t size = session.Output(std::as_writable_bytes(std::span(piece)))) sent.append(piece, 0, size);
    if (!fine || session.over()) break;
  }
  // How much of an answer has left by then depends on the pieces.
  std::string log;
  for (size_t at = 0, end; (end = recorder.log.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = recorder.log.substr(at, end + 1 - at);
    if (!line.ends_with(" closed\n")) log += line;
  }
  return {Reaction(sent), log};
}

size_t tables_checked = 0, refusals_checked = 0;

void CheckRefusals(const std::vector<Refusal>& refusals) {
  std::set<std::string> seen;
  std::string wrong;
  for (const Refusal& refusal : refusals) {
    const std::string bytes = refusal.whole ? refusal.bytes : kPreface + Settings() + refusal.bytes;
    CHECK(seen.insert(bytes).second);
    for (const size_t step : {bytes.size(), size_t{1}, size_t{7}}) {
      const Played played = Play(bytes, step);
      const bool right = played.reaction.find(refusal.answer) != std::string::npos && played.log == refusal.shown;
      if (!right) wrong += refusal.name + ", by " + std::to_string(step) + "\n" + played.reaction + played.log;
    }
  }
  if (!wrong.empty()) throw std::runtime_error(wrong);
  tables_checked++;
  refusals_checked += seen.size();
}

TEST("HTTP/2 refusals: connections") {
  std::vector<Refusal> refusals;
  for (size_t at = 0; at < kPreface.size(); at++) {
    std::string preface = kPreface;
    preface[at] ^= 0x20;
    refusals.push_back(
        {"preface, byte " + std::to_string(at), preface + Settings(), Goaway("protocol_error"), "", true});
  }
  const std::string get = Block(Get());
  for (const auto& [name, frame] : std::vector<std::pair<std::string, std::string>>{
           {"DATA", Frame(Type::kData, 0, 1, "x")},
           {"HEADERS", Headers(1, get)},
           {"PRIORITY", Frame(Type::kPriority, 0, 1, Number(0) + "x")},
           {"RST_STREAM", Reset(1)},
           {"PING", Frame(Type::kPing, 0, 0, "12345678")},
           {"GOAWAY", Frame(Type::kGoAway, 0, 0, Number(0) + Number(0))},
           {"WINDOW_UPDATE", Frame(Type::kWindowUpdate, 0, 0, Number(1))},
           {"CONTINUATION", Frame(Type::kContinuation, kEndHeaders, 1, get)},
           {"an acknowledgement", Frame(Type::kSettings, kAck, 0)},
           {"an unknown frame", Frame(Type::kUnknown, 0, 0)}}) {
    refusals.push_back({"begins with " + name, kPreface + frame, Goaway("protocol_error"), "", true});
  }
  CheckRefusals(refusals);
}

TEST("HTTP/2 refusals: frames") {
  const std::string get = Block(Get());
  const std::string post = Headers(1, Get({{"x", "y"}}), false);
  const std::string opened = "1 head GET http weft.test / x=y\n";
  const std::string large(16385, 'x');
  const std::string served = "1 head GET http weft.test / |\n1 end\n";
  const auto of = [](Type type, uint32_t stream, size_t size, uint8_t flags = 0) {
    return Frame(type, flags, stream, std::string(size, '\0'));
  };
  const std::string protocol = Goaway("protocol_error"), size = Goaway("frame_size_error");
  std::vector<Refusal> refusals = {
      // Sizes.
      {"DATA that is too large", post + Frame(Type::kData, 0, 1, large), size, opened},
      {"HEADERS that are too large", Frame(Type::kHeaders, kEndHeaders, 1, large), size},
      {"CONTINUATION that is too large", Frame(Type::kHeaders, 0, 1, get) + Frame(Type::kContinuation, 4, 1, large),
       size},
      {"an unknown frame that is too large", Frame(Type::kUnknown, 0, 0, large), size},
      {"PING of 0", of(Type::kPing, 0, 0), size},
      {"PING of 7", of(Type::kPing, 0, 7), size},
      {"PING of 9", of(Type::kPing, 0, 9), size},
      {"RST_STREAM of 3", post + of(Type::kReset, 1, 3), size, opened},
      {"RST_STREAM of 5", post + of(Type::kReset, 1, 5), size, opened},
      {"SETTINGS of 1", of(Type::kSettings, 0, 1), size},
      {"SETTINGS of 5", of(Type::kSettings, 0, 5), size},
      {"SETTINGS of 7", of(Type::kSettings, 0, 7), size},
      {"an acknowledgement that says more", of(Type::kSettings, 0, 6, kAck), size},
      {"PRIORITY of 4", of(Type::kPriority, 1, 4), size},
      {"PRIORITY of 6", of(Type::kPriority, 1, 6), size},
      {"GOAWAY of 7", of(Type::kGoAway, 0, 7), size},
      {"WINDOW_UPDATE of 3", of(Type::kWindowUpdate, 0, 3), size},
      {"WINDOW_UPDATE of 5", of(Type::kWindowUpdate, 0, 5), size},
      {"HEADERS without the priority that they announce", Frame(Type::kHeaders, kEndHeaders | kPriorityFlag, 1, "abcd"),
       size},
      // Padding.
      {"DATA whose padding is all and more",
       post + Frame(Type::kData, kPadded, 1,
                    "\x03"
                    "ab"),
       protocol, opened},
      {"DATA whose padding is as long as the frame",
       post + Frame(Type::kData, kPadded, 1,
                    "\x02"
                    "a"),
       protocol, opened},
      {"DATA without the length of its padding", post + Frame(Type::kData, kPadded, 1), protocol, opened},
      {"HEADERS whose padding is all and more", Frame(Type::kHeaders, kEndHeaders | kPadded, 1, "\x7f" + get),
       protocol},
      {"HEADERS without the length of their padding", Frame(Type::kHeaders, kEndHeaders | kPadded, 1), protocol},
      // Streams.
      {"DATA of the connection", Frame(Type::kData, 0, 0, "x"), protocol},
      {"HEADERS of the connection", Headers(0, get), protocol},
      {"PRIORITY of the connection", of(Type::kPriority, 0, 5), protocol},
      {"RST_STREAM of the connection", Reset(0), protocol},
      {"CONTINUATION of the connection", Frame(Type::kContinuation, kEndHeaders, 0, get), protocol},
      {"SETTINGS of a stream", Frame(Type::kSettings, 0, 1), protocol},
      {"PING of a stream", of(Type::kPing, 1, 8), protocol},
      {"GOAWAY of a stream", of(Type::kGoAway, 1, 8), protocol},
      {"DATA of a stream that is not open", Frame(Type::kData, 0, 1, "x"), protocol},
      {"RST_STREAM of a stream that is not open", Reset(1), protocol},
      {"WINDOW_UPDATE of a stream that is not open", Frame(Type::kWindowUpdate, 0, 1, Number(1)), protocol},
      {"CONTINUATION of nothing", Frame(Type::kContinuation, kEndHeaders, 1, get), protocol},
      {"CONTINUATION of what is complete", Headers(1, get) + Frame(Type::kContinuation, kEndHeaders, 1, get), protocol,
       served},
      {"a stream of the server's", Headers(2, get), protocol},
      {"another stream of the server's", Headers(4, get), protocol},
      {"a stream that was passed over", Headers(5, get) + Headers(3, get), protocol,
       "5 head GET http weft.test / |\n5 end\n"},
      {"PUSH_PROMISE of a client", post + Frame(Type::kPushPromise, kEndHeaders, 1, Number(2) + get), protocol, opened},
      {"a stream that depends on itself", Frame(Type::kPriority, 0, 1, Number(1) + "x"), protocol},
      {"DATA behind the end", Headers(1, get) + Frame(Type::kData, 0, 1, "x"), Goaway("stream_closed"), served},
      {"HEADERS behind the end", Headers(1, get) + Headers(1, get), Goaway("stream_closed"), served},
      {"DATA behind RST_STREAM", post + Reset(1) + Frame(Type::kData, 0, 1, "x"), Goaway("stream_closed"),
       opened + "1 reset cancel by peer\n"},
      {"HEADERS behind RST_STREAM", post + Reset(1) + Headers(1, get), Goaway("stream_closed"),
       opened + "1 reset cancel by peer\n"},
      {"trailers that do not end the stream", post + Headers(1, Lines{{"a", "b"}}, false),
       ResetsFirst("protocol_error"), opened + "1 reset protocol_error\n"},
      // Windows.
      {"a window that opens by nothing", Frame(Type::kWindowUpdate, 0, 0, Number(0)), protocol},
      {"a stream's window that opens by nothing", post + Frame(Type::kWindowUpdate, 0, 1, Number(0)), protocol, opened},
      {"a window beyond all bounds", Frame(Type::kWindowUpdate, 0, 0, Number(0x7fffffff)),
       Goaway("flow_control_error")},
      {"a stream's window beyond all bounds", post + Frame(Type::kWindowUpdate, 0, 1, Number(0x7fffffff)),
       ResetsFirst("flow_control_error"), opened + "1 reset flow_control_error\n"},
      // The RFC has the connection end (6.9.2), nghttp2 each stream of which it is so.
      {"a stream's window that settings take beyond all bounds",
       post + Frame(Type::kWindowUpdate, 0, 1, Number(0x7fff0000)) + Settings(Setting(4, 0x7fffffff)),
       ResetsFirst("flow_control_error"), opened + "1 reset flow_control_error\n"},
      // Settings.
      {"push that is neither on nor off", Settings(Setting(2, 2)), protocol},
      {"a first window beyond all bounds", Settings(Setting(4, 0x80000000)), Goaway("flow_control_error")},
      {"the largest first window there is not", Settings(Setting(4, 0xffffffff)), Goaway("flow_control_error")},
      {"frames that are too small", Settings(Setting(5, 16383)), protocol},
      {"frames that are too large", Settings(Setting(5, 1 << 24)), protocol},
      {"extended CONNECT that is neither on nor off", Settings(Setting(8, 2)), protocol},
  };
  // A head that is not complete is followed by nothing but the rest of it.
  for (const auto& [name, frame] : std::vector<std::pair<std::string, std::string>>{
           {"DATA", Frame(Type::kData, 0, 1, "x")},
           {"HEADERS", Headers(3, get)},
           {"HEADERS of the same stream", Headers(1, get)},
           {"PRIORITY", of(Type::kPriority, 1, 5)},
           {"RST_STREAM", Reset(1)},
           {"SETTINGS", Settings()},
           {"PING", of(Type::kPing, 0, 8)},
           {"GOAWAY", of(Type::kGoAway, 0, 8)},
           {"WINDOW_UPDATE", Frame(Type::kWindowUpdate, 0, 0, Number(1))},
           {"an unknown frame", Frame(Type::kUnknown, 0, 0)},
           {"CONTINUATION of another stream", Frame(Type::kContinuation, kEndHeaders, 3, get)}}) {
    refusals.push_back({"within a head " + name, Frame(Type::kHeaders, 0, 1, get) + frame, protocol});
  }
  CheckRefusals(refusals);
}

TEST("HTTP/2 refusals: compression") {
  const std::string get = Block(Get());
  std::vector<Refusal> refusals;
  for (const auto& [name, block] : std::vector<std::pair<std::string, std::string>>{
           {"index 0", Known(0)},
           {"an index beyond the tables", Known(62)},
           {"an index far beyond the tables", Known(100'000)},
           {"an index without end", "\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
           {"a name from beyond the tables", Integer(0x40, 6, 62) + Literal("x")},
           {"a name from beyond the tables, not indexed", Integer(0, 4, 62) + Literal("x")},
           {"a name from beyond the tables, never indexed", Integer(0x10, 4, 62) + Literal("x")},
           {"a name that is cut off", Number(0, 1) + Integer(0, 7, 10) + "x"},
           {"a value that is cut off", Number(0, 1) + Literal("x") + Integer(0, 7, 10) + "y"},
           {"a value that is missing", Number(0, 1) + Literal("x")},
           {"a length that is cut off", Number(0, 1) + "\x7f"},
           {"a length without end", Number(0, 1) + "\x7f\xff\xff\xff\xff\xff\xff"},
           {"a table that is too large", Integer(0x20, 5, 4097)},
           {"a size of the table behind a field", Line("x", "y") + Integer(0x20, 5, 0)},
           {"Huffman: the end of all strings", Number(0, 1) + Literal("x") + Integer(0x80, 7, 4) + "\xff\xff\xff\xff"},
           {"Huffman: padding of a byte", Number(0, 1) + Literal("x") + Integer(0x80, 7, 2) + "\x1f\xff"},
           {"Huffman: padding of zeroes",
            Number(0, 1) + Literal("x") + Integer(0x80, 7, 1) + std::string("\x18", 1)}}) {
    refusals.push_back({name, Headers(1, get + block), Goaway("compression_error")});
  }
  CheckRefusals(refusals);
}

Lines Without(const std::string& name) {
  Lines lines = Get();
  std::erase_if(lines, [&](const auto& line) { return line.first == name; });
  return lines;
}
Lines With(const std::string& name, const std::string& value) {
  Lines lines = Get();
  for (auto& line : lines) {
    if (line.first == name) line.second = value;
  }
  return lines;
}

TEST("HTTP/2 refusals: heads") {
  std::vector<Refusal> refusals;
  const auto malformed = [&](const std::string& name, const Lines& lines, bool ends = true) {
    refusals.push_back({name, Headers(1, lines, ends), ResetsFirst("protocol_error")});
  };
  for (const char* name : {":method", ":scheme", ":path"}) {
    malformed(std::string("without ") + name, Without(name));
    malformed(std::string("empty ") + name, With(name, ""));
  }
  for (const char* name : {":method", ":scheme", ":path", ":authority"}) {
    Lines twice = Get();
    twice.push_back({name, "GET"});
    malformed(std::string("twice ") + name, twice);
    Lines late = Without(name);
    late.push_back({"x", "y"});
    late.push_back({name, name == std::string(":path") ? "/" : "http"});
    malformed(std::string("behind a field ") + name, late);
  }
  malformed(":status of a request", Get({{":status", "200"}}));
  malformed("a pseudo-field that nobody knows", Get({{":unknown", "x"}}));
  malformed(":protocol of another method", Get({{":protocol", "websocket"}}));
  malformed("CONNECT with :path and :scheme", With(":method", "CONNECT"));
  for (const auto& [name, value] : Lines{{"Upper", "x"},
                                         {"a b", "x"},
                                         {"a:b", "x"},
                                         {"", "x"},
                                         {"a\r\nb", "x"},
                                         {std::string("a\0b", 3), "x"},
                                         {"a\x7f", "x"},
                                         {"\xe4", "x"},
                                         {"x", "a\r\nb: c"},
                                         {"x", "a\nb"},
                                         {"x", "a\rb"},
                                         {"x", std::string("a\0b", 3)},
                                         {"x", "a\x01"},
                                         {"x", "a\x7f"},
                                         {"connection", "close"},
                                         {"connection", "x"},
                                         {"keep-alive", "timeout=5"},
                                         {"proxy-connection", "keep-alive"},
                                         {"transfer-encoding", "chunked"},
                                         {"upgrade", "websocket"},
                                         {"te", "gzip"},
                                         {"te", "trailers, gzip"},
                                         {"content-length", "x"},
                                         {"content-length", "-1"},
                                         {"content-length", "+1"},
                                         {"content-length", ""},
                                         {"content-length", "1, 1"},
                                         {"content-length", "99999999999999999999"},
                                         {"content-length", "1"}}) {
    malformed(name + ": " + value, Get({{name, value}}));
  }
  malformed("two lengths", Get({{"content-length", "0"}, {"content-length", "0"}}));
  malformed("without :authority and Host", Without(":authority"));
  malformed("two hosts", Get({{"host", "weft.test"}, {"host", "other"}}));
  for (const auto& [name, value] : Lines{{":path", "/a b"},
                                         {":path", "/\r\n"},
                                         {":path", "a"},
                                         {":path", "http://weft.test/"},
                                         {":path", "*"},
                                         {":authority", "a b"},
                                         {":authority", "a/b"},
                                         {":method", "G T"}}) {
    malformed(name + ": " + value, With(name, value));
  }
  // A body that is not as long as it was said to be.
  const std::string five = "1 head GET http weft.test / content-length=5\n";
  const std::string post = Headers(1, Get({{"content-length", "5"}}), false);
  refusals.push_back({"a body that is too short", post + Frame(Type::kData, kEndStream, 1, "1234"),
                      ResetsFirst("protocol_error"), five + "1 reset protocol_error\n"});
  refusals.push_back({"a body that is too long", post + Frame(Type::kData, kEndStream, 1, "123456"),
                      ResetsFirst("protocol_error"), five + "1 reset protocol_error\n"});
  refusals.push_back({"a body that is too long, in parts",
                      post + Frame(Type::kData, 0, 1, "123") + Frame(Type::kData, 0, 1, "456"),
                      ResetsFirst("protocol_error"), five + "1 reset protocol_error\n"});
  refusals.push_back({"a body that is too short before trailers",
                      post + Frame(Type::kData, 0, 1, "1234") + Headers(1, Lines{{"a", "b"}}),
                      ResetsFirst("protocol_error"), five + "1 reset protocol_error\n"});
  // Trailers.
  const std::string open = Headers(1, Get({{"x", "y"}}), false);
  for (const auto& [name, value] : Lines{{":path", "/"},
                                         {":status", "200"},
                                         {"Upper", "x"},
                                         {"x", "a\nb"},
                                         {"connection", "close"},
                                         {"content-length", "5"},
                                         {"transfer-encoding", "chunked"},
                                         {"host", "other"}}) {
    refusals.push_back({"trailers with " + name, open + Headers(1, Lines{{name, value}}), ResetsFirst("protocol_error"),
                        "1 head GET http weft.test / x=y\n1 reset protocol_error\n"});
  }
  // What nghttp2 takes, and is answered.
  const auto answered = [&](const std::string& name, const Lines& lines, const char* error) {
    refusals.push_back({name, Headers(1, lines), "1 head\n", std::string("1 refused ") + error + "\n"});
  };
  answered("with another Host", Get({{"host", "other"}}), "host_invalid");
  for (const char* authority : {"user@host", "[::1", "host:port", "a,b"}) {
    answered(std::string(":authority ") + authority, With(":authority", authority), "authority_invalid");
  }
  answered("a scheme that is not HTTP's", With(":scheme", "ftp"), "target_form_invalid");
  CheckRefusals(refusals);
}

TEST("HTTP/2 refusals: none is lost") {
  if (tables_checked != 4) throw Skip{"not all tables were checked"};
  CHECK(refusals_checked >= 190);
}

}  // namespace
}  // namespace weft::test
