#include <fcntl.h>
#include <nan.h>
#include <stdio.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

#include "modules.h"
#include "values.h"

namespace weft::binding {
namespace {

std::string Path(v8::Local<v8::Value> value) {
  if (!value->IsString()) throw std::invalid_argument("a path must be a string");
  return *Nan::Utf8String(value);
}

// exchangeFiles(one: string, other: string): void
NAN_METHOD(ExchangeFiles) {
  Guarded([&] {
    const std::string one = Path(info[0]);
    const std::string other = Path(info[1]);
    if (renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) != 0) {
      throw std::system_error(errno, std::generic_category(), one + " and " + other + " cannot be exchanged");
    }
  });
}

}  // namespace

NAN_MODULE_INIT(InitFiles) { Nan::SetMethod(target, "exchangeFiles", ExchangeFiles); }

}  // namespace weft::binding
