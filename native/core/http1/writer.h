// Writes what is forwarded: the received head with edits, and bodies.
//
// Fields keep their bytes and their order. Those that belong to the connection go (RFC 9110, 7.6.1: Connection with
// what it names, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade), and what holds for the next connection
// is written anew. Via is not added: apps are not to notice us. The version is always our own, HTTP/1.1.
#pragma once

#include <span>
#include <string>

#include "head.h"

namespace weft::core::http1 {

struct NewField {
  std::string_view name;
  std::string_view value;
};

struct FieldEdits {
  std::span<const std::string_view> remove = {};
  std::span<const NewField> set = {};  // written at the end, in place of all fields of the name
  std::span<const NewField> add = {};  // beside those of the name

  // Of edits that are used for many messages: what need not be found out for each of them.
  bool valid = false;             // AreValid() has said so
  uint64_t sizes = ~UINT64_C(0);  // of the names in `remove` and `set`: no name of another size is among them
};

// A bit of FieldEdits::sizes.
inline uint64_t SizeBit(std::string_view name) { return UINT64_C(1) << (name.size() < 63 ? name.size() : 63); }

struct RequestEdits {
  FieldEdits fields = {};
  std::string_view path = {};  // with the query; empty: as received
  std::string_view authority =
      {};                     // for Host and an absolute target; empty: the request's own, which HTTP/1.0 may lack
  bool origin_form = false;   // an absolute target loses its scheme and authority: for a server that is no proxy
  bool allow_upgrade = true;  // if the request asks for one
};

struct ResponseEdits {
  FieldEdits fields = {};
  bool to_http10 = false;  // the client's request was of HTTP/1.0
  bool close = false;      // nothing follows on the client's connection
};

// For those who write another form of HTTP. Whether the fields could be written, and are about neither the connection
// nor framing; whether a received field of the name goes because of the edits, or because Connection names it.
bool AreValid(const FieldEdits& edits, bool trailers = false);
bool IsEdited(const FieldEdits& edits, std::string_view name);
bool IsNamed(const Head& head, std::string_view name);

// How the caller must write the body.
struct Written {
  Error error = Error::kNone;  // kEditInvalid: an edit would not be a field, or is about the connection or framing
  Body body = Body::kNone;     // kUntilClose: close the connection behind it; kChunked: as chunks
  bool close = false;          // it was said that the connection ends with this message
};

// Appends to `out`, or leaves it as it is and says why. The body is kNone, kLength or kChunked, or kTunnel of CONNECT.
Written WriteRequest(const Head& request, const RequestEdits& edits, std::string& out);
// Interim responses are forwarded like final ones, but not to HTTP/1.0.
Written WriteResponse(const Head& response, const ResponseEdits& edits, std::string& out);

// A chunk is ChunkHead, the data, and kChunkEnd. No data is no chunk: it would end the body.
constexpr std::string_view kChunkEnd = "\r\n";
class ChunkHead {
 public:
  ChunkHead() = default;
  explicit ChunkHead(uint64_t size);
  std::string_view text() const { return {bytes_ + begin_, sizeof bytes_ - begin_}; }

 private:
  char bytes_[18];
  size_t begin_;
};
// Ends a chunked body; the trailers are a reader's, or null.
Error WriteLastChunk(const Head* trailers, const FieldEdits& edits, std::string& out);

}  // namespace weft::core::http1
