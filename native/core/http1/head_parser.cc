#include "head_parser.h"

#include <algorithm>
#include <cstring>

#include "framing.h"
#include "target.h"

namespace weft::core::http1 {
namespace {

constexpr size_t kMaxMethod = 64;
constexpr std::string_view kVersion = "HTTP/1.1";

class Parser {
 public:
  Parser(Head& head, std::string_view text, const Limits& limits) : head_(head), text_(text), limits_(limits) {}

  Parsed Run() {
    head_.set_text(text_.data());
    const size_t most = head_.kind == Kind::kTrailers ? limits_.max_trailers : limits_.max_head;
    const std::string_view text = text_.substr(0, most);
    while (true) {
      const void* found = memchr(text.data() + head_.scanned, '\n', text.size() - head_.scanned);
      if (found == nullptr) {
        head_.scanned = static_cast<uint32_t>(text.size());
        return text.size() == most ? Parsed{Progress::kFailed, TooLarge()} : Parsed{Progress::kMore};
      }
      const auto end = static_cast<uint32_t>(static_cast<const char*>(found) - text.data()) + 1;
      const uint32_t begin = head_.next_line;
      const std::string_view line = text.substr(begin, end - begin - 1);
      head_.scanned = head_.next_line = end;
      bool done = false;
      const Error error = TakeLine(line, begin, done);
      if (error != Error::kNone) return {Progress::kFailed, error};
      if (done) return {Progress::kDone};
    }
  }

 private:
  Error TooLarge() const {
    if (head_.kind == Kind::kTrailers) return Error::kTrailersTooLarge;
    return head_.kind == Kind::kRequest && !head_.has_start_line ? Error::kTargetTooLong : Error::kHeadTooLarge;
  }

  // The line is without its LF.
  Error TakeLine(std::string_view line, uint32_t at, bool& done) {
    if (line.empty() || line.back() != '\r') return Error::kBareLf;
    line.remove_suffix(1);
    if (!head_.has_start_line && head_.kind != Kind::kTrailers) {
      // Some clients send an empty line after a body (RFC 9112, 2.2).
      if (line.empty() && head_.kind == Kind::kRequest && !head_.skipped_line) {
        head_.skipped_line = true;
        return Error::kNone;
      }
      head_.has_start_line = true;
      return head_.kind == Kind::kRequest ? TakeRequestLine(line, at) : TakeStatusLine(line, at);
    }
    if (!line.empty()) return TakeField(line, at);
    done = true;
    return head_.kind == Kind::kTrailers ? CheckTrailers(head_) : InterpretFields(head_);
  }

  Place PlaceOf(std::string_view part) const {
    return {static_cast<uint32_t>(part.data() - text_.data()), static_cast<uint32_t>(part.size())};
  }

  static Error FirstBad(CharacterClass allowed, std::string_view text, Error otherwise) {
    const char* other = FindOther(allowed, text.data(), text.data() + text.size());
    return other == text.data() + text.size() ? Error::kNone : ErrorOf(*other, otherwise);
  }

  Error TakeVersion(std::string_view version) {
    if (version.size() != kVersion.size() || !version.starts_with("HTTP/") || !Is(kDigitCharacter, version[5]) ||
        version[6] != '.' || !Is(kDigitCharacter, version[7])) {
      const char* odd = std::find_if(version.begin(), version.end(), [](char c) { return c == '\0' || c == '\r'; });
      return odd == version.end() ? Error::kVersionInvalid : ErrorOf(*odd, Error::kVersionInvalid);
    }
    if (version[5] != '1' || version[7] > '1') return Error::kVersionUnsupported;
    head_.http10 = version[7] == '0';
    return Error::kNone;
  }

  Error TakeRequestLine(std::string_view line, uint32_t at) {
    const size_t space = line.find(' ');
    const std::string_view method = line.substr(0, space);
    if (const Error error = FirstBad(kTokenCharacter, method, Error::kMethodInvalid); error != Error::kNone) {
      return error;
    }
    if (method.empty() || space == std::string_view::npos) return Error::kRequestLineInvalid;
    if (method.size() > kMaxMethod) return Error::kMethodTooLong;
    const std::string_view rest = line.substr(space + 1);
    const size_t target_size = rest.find(' ');
    const std::string_view target = rest.substr(0, target_size);
    if (target.empty()) return Error::kRequestLineInvalid;
    if (const Error error = FirstBad(kTargetCharacter, target, Error::kTargetInvalid); error != Error::kNone) {
      return error;
    }
    if (target_size == std::string_view::npos) return Error::kVersionMissing;
    if (const Error error = TakeVersion(rest.substr(target_size + 1)); error != Error::kNone) return error;
    head_.method_place = {at, static_cast<uint32_t>(method.size())};
    head_.target_place = PlaceOf(target);
    head_.connect = method == "CONNECT";
    return ReadTarget(head_);
  }

  // The space before an empty reason is often left out.
  Error TakeStatusLine(std::string_view line, uint32_t at) {
    if (line.size() < kVersion.size() + 4 || line[kVersion.size()] != ' ') return Error::kStatusLineInvalid;
    if (const Error error = TakeVersion(line.substr(0, kVersion.size())); error != Error::kNone) return error;
    const std::string_view status = line.substr(kVersion.size() + 1, 3);
    const std::string_view rest = line.substr(kVersion.size() + 4);
    if (!IsAll(kDigitCharacter, status) || status[0] == '0') return Error::kStatusInvalid;
    if (!rest.empty() && rest[0] != ' ') return ErrorOf(rest[0], Error::kStatusLineInvalid);
    if (const Error error = FirstBad(kValueCharacter, rest, Error::kStatusLineInvalid); error != Error::kNone) {
      return error;
    }
    head_.status = static_cast<uint16_t>((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
    head_.reason_place = {at + static_cast<uint32_t>(kVersion.size()) + 4, static_cast<uint32_t>(rest.size())};
    return Error::kNone;
  }

  Error TakeField(std::string_view line, uint32_t at) {
    if (IsBlank(line[0])) return Error::kObsFold;
    if (head_.fields.size() == limits_.max_fields) return Error::kTooManyFields;
    const char* end = line.data() + line.size();
    const char* colon = FindOther(kTokenCharacter, line.data(), end);
    if (colon == end) return Error::kMissingColon;
    if (*colon != ':') return BadName(colon, end);
    if (colon == line.data()) return Error::kEmptyFieldName;
    const std::string_view value = Trim({colon + 1, static_cast<size_t>(end - colon - 1)});
    if (!IsValue(value)) return FirstBad(kValueCharacter, value, Error::kFieldValueInvalid);
    const Place name{at, static_cast<uint32_t>(colon - line.data())};
    head_.Add({.name = name,
               .value = PlaceOf(value),
               .end = at + static_cast<uint32_t>(line.size()) + 2,
               .id = IdOf({line.data(), name.size})});
    return Error::kNone;
  }

  static Error BadName(const char* at, const char* end) {
    if (!IsBlank(*at)) return ErrorOf(*at, Error::kFieldNameInvalid);
    while (at != end && IsBlank(*at)) at++;
    return at != end && *at == ':' ? Error::kSpaceBeforeColon : Error::kFieldNameInvalid;
  }

  Head& head_;
  const std::string_view text_;
  const Limits& limits_;
};

}  // namespace

Parsed ParseHead(Head& head, std::string_view text, const Limits& limits) { return Parser(head, text, limits).Run(); }

}  // namespace weft::core::http1
