#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace weft::capture {

[[noreturn]] inline void ThrowError(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

[[noreturn]] inline void ThrowErrno(const std::string& what) { ThrowError(errno, what); }

}  // namespace weft::capture
