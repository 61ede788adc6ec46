// A test is a function that throws when it fails. TEST registers it; main.cc runs them all and prints TAP.
#pragma once

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace weft::test {

constexpr auto kPatience = std::chrono::seconds(5);

struct Test {
  const char* name;
  void (*run)();
};

// Thrown by a test that cannot run here.
struct Skip {
  std::string why;
};

inline std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}

struct Registration {
  Registration(const char* name, void (*run)()) { Tests().push_back({name, run}); }
};

#define WEFT_JOIN(a, b) a##b
#define WEFT_NAME(prefix, line) WEFT_JOIN(prefix, line)
#define TEST(name)                                                                                     \
  static void WEFT_NAME(Test, __LINE__)();                                                             \
  static const ::weft::test::Registration WEFT_NAME(kTest, __LINE__)(name, WEFT_NAME(Test, __LINE__)); \
  static void WEFT_NAME(Test, __LINE__)()

inline void Check(bool condition, const char* text, const char* file, int line) {
  if (condition) return;
  std::ostringstream message;
  message << file << ":" << line << ": " << text;
  throw std::runtime_error(message.str());
}

template <typename Value, typename Expected>
void CheckEqual(const Value& value, const Expected& expected, const char* text, const char* file, int line) {
  if (value == expected) return;
  std::ostringstream message;
  message << file << ":" << line << ": " << text << " is " << value << ", not " << expected;
  throw std::runtime_error(message.str());
}

#define CHECK(condition) ::weft::test::Check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(value, expected) ::weft::test::CheckEqual((value), (expected), #value, __FILE__, __LINE__)
// Until it holds, or patience ends.
#define EVENTUALLY(condition) CHECK(::weft::test::Eventually([&] { return (condition); }) && "eventually: " #condition)

template <typename Condition>
bool Eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace weft::test
