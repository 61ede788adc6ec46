// The kernel's programs, loaded into this kernel with maps of their own, and a network namespace that is an enrolled
// pod.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <string>

#include "../../../bpf/weft.h"
#include "frame.h"

namespace weft::test {

constexpr uint32_t kPod = 7;
constexpr const char* kDevice =
    "pod0";  // of the namespace; what leaves by it arrives at kFarDevice, which has no addresses
constexpr const char* kFarDevice = "node0";

// This process goes into a network namespace of its own for good.
void BecomePod();

class Kernel {
 public:
  explicit Kernel(const std::string& object);
  ~Kernel() { bpf_object__close(object_); }
  Kernel(const Kernel&) = delete;

  bpf_program* Program(const char* name) const;
  // What the program returns for a frame on a device.
  int Run(const char* program, const Bytes& frame, const char* device, uint32_t mark = 0) const;

  template <typename Key, typename Value>
  void Put(const char* map, const Key& key, const Value& value) const {
    PutBytes(map, &key, &value);
  }
  template <typename Key>
  void Remove(const char* map, const Key& key) const {
    bpf_map_delete_elem(Map(map), &key);
  }
  uint64_t Counter(enum counter counter) const;

  void Enrol() const;  // this network namespace
  void Leave() const;

 private:
  int Map(const char* name) const;
  void PutBytes(const char* map, const void* key, const void* value) const;

  bpf_object* object_;
};

struct address AddressV4(const uint8_t (&bytes)[4]);
struct address AddressV6(const uint8_t (&bytes)[16]);

extern std::string object_file;

}  // namespace weft::test
