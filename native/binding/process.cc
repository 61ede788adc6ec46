#include <nan.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <system_error>

#include "modules.h"
#include "values.h"

namespace weft::binding {
namespace {

// forbidCoreDumps(): void
// A limit alone does not hold where core_pattern names a program (core(5)); being undumpable does.
NAN_METHOD(ForbidCoreDumps) {
  Guarded([&] {
    const rlimit none{0, 0};
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
      throw std::system_error(errno, std::generic_category(), "core dumps cannot be forbidden");
    }
  });
}

}  // namespace

NAN_MODULE_INIT(InitProcess) { Nan::SetMethod(target, "forbidCoreDumps", ForbidCoreDumps); }

}  // namespace weft::binding
