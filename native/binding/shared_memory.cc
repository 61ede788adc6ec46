// Memory that processes share: its descriptor is passed to a child, and both map it.
#include <fcntl.h>
#include <nan.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "modules.h"
#include "values.h"

namespace weft::binding {
namespace {

[[noreturn]] void Throw(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// createSharedMemory(bytes: number): number
NAN_METHOD(CreateSharedMemory) {
  Guarded([&] {
    const uint32_t bytes = UnsignedValue(info[0], "bytes");
    const int descriptor = memfd_create("weft", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0) Throw("memfd_create");
    // Who shrinks it would end everybody else with SIGBUS.
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (ftruncate(descriptor, bytes) != 0 || fcntl(descriptor, F_ADD_SEALS, seals) != 0) {
      close(descriptor);
      Throw("size of shared memory");
    }
    info.GetReturnValue().Set(descriptor);
  });
}

// mapSharedMemory(descriptor: number): ArrayBuffer
NAN_METHOD(MapSharedMemory) {
  Guarded([&] {
    struct stat status;
    const int descriptor = static_cast<int>(UnsignedValue(info[0], "descriptor"));
    if (fstat(descriptor, &status) != 0) Throw("fstat");
    const auto bytes = static_cast<size_t>(status.st_size);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) Throw("mmap");
    auto store = v8::ArrayBuffer::NewBackingStore(
        memory, bytes, [](void* data, size_t length, void*) { munmap(data, length); }, nullptr);
    info.GetReturnValue().Set(v8::ArrayBuffer::New(v8::Isolate::GetCurrent(), std::move(store)));
  });
}

}  // namespace

NAN_MODULE_INIT(InitSharedMemory) {
  Nan::SetMethod(target, "createSharedMemory", CreateSharedMemory);
  Nan::SetMethod(target, "mapSharedMemory", MapSharedMemory);
}

}  // namespace weft::binding
