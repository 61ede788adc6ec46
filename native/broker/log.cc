#include "log.h"

#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace weft::broker {
namespace {

constexpr int kLinesPerSecond = 50;

bool IsTooMuch() {
  static time_t second = 0;
  static int lines = 0;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (now.tv_sec != second) lines = 0;
  second = now.tv_sec;
  return ++lines > kLinesPerSecond;
}

void AppendString(std::string& line, std::string_view text) {
  line += '"';
  for (const char character : text) {
    if (character == '"' || character == '\\') {
      line += '\\';
      line += character;
    } else if (static_cast<unsigned char>(character) < 0x20) {
      char escaped[7];
      snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(character));
      line += escaped;
    } else {
      line += character;
    }
  }
  line += '"';
}

}  // namespace

void Log(Level level, std::string_view message, std::initializer_list<LogField> fields) {
  if (IsTooMuch()) return;
  std::string line = R"({"component":"broker","level":)";
  AppendString(line, level == Level::kError ? "error" : "info");
  for (const LogField& field : fields) {
    line += ',';
    AppendString(line, field.name);
    line += ':';
    if (const auto* number = std::get_if<int64_t>(&field.value)) {
      line += std::to_string(*number);
    } else {
      AppendString(line, std::get<std::string_view>(field.value));
    }
  }
  line += ",\"msg\":";
  AppendString(line, message);
  line += "}\n";
  // In one call, so that lines of several processes do not mix. Whoever read them may be gone, which is no reason to end.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace weft::broker
