#include "chunked.h"

#include <algorithm>

#include "text.h"

namespace weft::core::http1 {
namespace {

constexpr unsigned kMaxDigits = 16;
constexpr uint64_t kMaxSize = UINT64_MAX >> 1;

int HexDigit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  const char lower = ToLower(character);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

ChunkedDecoder::Event ChunkedDecoder::Read(std::string_view& input, const Limits& limits, std::string_view& data) {
  while (!input.empty()) {
    if (state_ == State::kData) {
      data = input.substr(0, std::min<uint64_t>(left_, input.size()));
      input.remove_prefix(data.size());
      left_ -= data.size();
      if (left_ == 0) state_ = State::kDataCarriageReturn;
      return Event::kData;
    }
    const char character = input.front();
    if (state_ == State::kDataCarriageReturn || state_ == State::kDataLineFeed) {
      const bool first = state_ == State::kDataCarriageReturn;
      if (character != (first ? '\r' : '\n')) error_ = Error::kChunkEndInvalid;
      state_ = first ? State::kDataLineFeed : State::kSize;
    } else {
      error_ = TakeOfLine(character, limits);
    }
    if (error_ != Error::kNone) return Event::kFailed;
    input.remove_prefix(1);
    if (state_ == State::kData && left_ == 0) return Event::kLastChunk;
  }
  return Event::kNeedMore;
}

Error ChunkedDecoder::TakeOfLine(char character, const Limits& limits) {
  if (++line_ > limits.max_chunk_line) return Error::kChunkLineTooLong;
  if (state_ == State::kSize) return TakeOfSize(character);
  if (state_ == State::kLineFeed) {
    if (character != '\n') return Error::kBareCr;
    state_ = State::kData;
    digits_ = 0;
    line_ = 0;
    return Error::kNone;
  }
  if (++extensions_ > limits.max_chunk_extensions) return Error::kChunkExtensionsTooLarge;
  return TakeOfExtension(character);
}

Error ChunkedDecoder::TakeOfSize(char character) {
  const int digit = HexDigit(character);
  if (digit >= 0) {
    left_ = (digits_ == 0 ? 0 : left_ << 4) | static_cast<uint64_t>(digit);
    if (++digits_ > kMaxDigits || left_ > kMaxSize) return Error::kChunkSizeOverflow;
    return Error::kNone;
  }
  if (digits_ == 0) return character == '\n' ? Error::kBareLf : ErrorOf(character, Error::kChunkSizeInvalid);
  if (character == '\r') {
    state_ = State::kLineFeed;
  } else if (character == ';') {
    state_ = State::kNameBegin;
  } else if (IsBlank(character)) {
    state_ = State::kBeforeExtension;
  } else {
    return character == '\n' ? Error::kBareLf : ErrorOf(character, Error::kChunkSizeInvalid);
  }
  return Error::kNone;
}

Error ChunkedDecoder::TakeOfExtension(char character) {
  if (character == '\n') return Error::kBareLf;
  const Error bad = ErrorOf(character, Error::kChunkExtensionInvalid);
  switch (state_) {
    case State::kBeforeExtension:
      if (character == ';') {
        state_ = State::kNameBegin;
        return Error::kNone;
      }
      return IsBlank(character) ? Error::kNone : bad;
    case State::kNameBegin:
      if (IsBlank(character)) return Error::kNone;
      if (!Is(kTokenCharacter, character)) return bad;
      state_ = State::kName;
      return Error::kNone;
    case State::kName:
      if (Is(kTokenCharacter, character)) return Error::kNone;
      [[fallthrough]];
    case State::kAfterName:
      if (character == '=') {
        state_ = State::kValueBegin;
        return Error::kNone;
      }
      // No line ends in blanks: only ";" or "=" may follow them.
      if (IsBlank(character)) {
        state_ = State::kAfterName;
        return Error::kNone;
      }
      if (character == ';' || (character == '\r' && state_ == State::kName)) {
        EndOfPart(character);
        return Error::kNone;
      }
      return bad;
    case State::kValueBegin:
      if (IsBlank(character)) return Error::kNone;
      state_ = character == '"' ? State::kQuoted : State::kValue;
      return character == '"' || Is(kTokenCharacter, character) ? Error::kNone : bad;
    case State::kValue:
      if (Is(kTokenCharacter, character)) return Error::kNone;
      [[fallthrough]];
    case State::kAfterQuoted:
      if (character == '\r' || character == ';') {
        EndOfPart(character);
        return Error::kNone;
      }
      if (!IsBlank(character)) return bad;
      state_ = State::kBeforeExtension;
      return Error::kNone;
    case State::kQuoted:
      if (!Is(kValueCharacter, character)) return bad;
      if (character == '"') state_ = State::kAfterQuoted;
      if (character == '\\') state_ = State::kEscaped;
      return Error::kNone;
    case State::kEscaped:
      state_ = State::kQuoted;
      return Is(kValueCharacter, character) ? Error::kNone : bad;
    default:
      return bad;
  }
}

void ChunkedDecoder::EndOfPart(char character) { state_ = character == ';' ? State::kNameBegin : State::kLineFeed; }

}  // namespace weft::core::http1
