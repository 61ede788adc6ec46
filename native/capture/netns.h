// Network namespaces by descriptor (namespaces(7), setns(2)).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace weft::capture {

using Address = std::array<uint8_t, 16>;  // network order, IPv4 as ::ffff:a.b.c.d

bool IsIpv4(const Address& address);

// The calling thread is in the namespace while the object lives. Failing to come home aborts: every socket made
// afterwards would belong to a pod.
class EnteredNetns {
 public:
  explicit EnteredNetns(int netns);
  ~EnteredNetns();
  EnteredNetns(const EnteredNetns&) = delete;
  EnteredNetns& operator=(const EnteredNetns&) = delete;

 private:
  int home_;
};

// All throw std::system_error.
int OpenNetns(const std::string& path);
uint64_t NetnsCookie(int netns);

struct InterfaceAddress {
  unsigned interface;
  Address address;
};
// Addresses of global scope on every device but lo.
std::vector<InterfaceAddress> GlobalAddresses(int netns);

}  // namespace weft::capture
