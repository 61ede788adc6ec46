// One JSON object per line on stderr, as all of the agent's processes log.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

namespace weft::broker {

struct LogField {
  const char* name;
  std::variant<int64_t, std::string_view> value;
};

enum class Level { kInfo, kError };

// Passes over what exceeds a few lines a second: strangers can cause lines.
void Log(Level level, std::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace weft::broker
