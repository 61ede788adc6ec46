// The chunked coding (RFC 9112, 7.1) up to the trailer section, which is read as a head is.
#pragma once

#include <cstdint>
#include <string_view>

#include "error.h"
#include "limits.h"

namespace weft::core::http1 {

class ChunkedDecoder {
 public:
  enum class Event : uint8_t { kNeedMore, kData, kLastChunk, kFailed };

  void Reset() { *this = ChunkedDecoder(); }
  // Takes bytes from the front of the input. kData: `data` is a part of it, and not empty.
  Event Read(std::string_view& input, const Limits& limits, std::string_view& data);
  Error error() const { return error_; }

 private:
  enum class State : uint8_t {
    kSize,
    kBeforeExtension,  // blanks after the size or an extension
    kNameBegin,
    kName,
    kAfterName,  // blanks
    kValueBegin,
    kValue,
    kQuoted,
    kEscaped,
    kAfterQuoted,
    kLineFeed,
    kData,
    kDataCarriageReturn,
    kDataLineFeed,
  };

  Error TakeOfLine(char character, const Limits& limits);
  Error TakeOfSize(char character);
  Error TakeOfExtension(char character);
  void EndOfPart(char character);

  uint64_t left_ = 0;  // the chunk's size, then what is missing of it
  uint32_t line_ = 0;
  uint32_t extensions_ = 0;  // bytes of all chunks' extensions
  uint8_t digits_ = 0;
  State state_ = State::kSize;
  Error error_ = Error::kNone;
};

}  // namespace weft::core::http1
