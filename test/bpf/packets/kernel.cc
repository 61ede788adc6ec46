#include "kernel.h"

#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "../../../native/test/check.h"

namespace weft::test {
namespace {

uint64_t NetnsCookie() {
  const int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  CHECK_EQUAL(getsockopt(probe, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size), 0);
  close(probe);
  return cookie;
}

}  // namespace

std::string object_file;

void BecomePod() {
  CHECK_EQUAL(unshare(CLONE_NEWNET), 0);
  CHECK_EQUAL(system("ip link set lo up && "
                     "ip link add pod0 type veth peer name node0 && "
                     "ip link set node0 addrgenmode none && "
                     "ip link set pod0 up && ip link set node0 up && "
                     "ip address add 10.0.0.9/24 dev pod0 && ip address add fd00::9/64 dev pod0 nodad && "
                     "ip neighbour add 10.0.0.7 lladdr 02:00:00:00:00:07 dev pod0 && "
                     "ip neighbour add fd00::7 lladdr 02:00:00:00:00:07 dev pod0"),
              0);
}

Kernel::Kernel(const std::string& object) : object_(bpf_object__open_file(object.c_str(), nullptr)) {
  if (object_ == nullptr) throw std::runtime_error("cannot open " + object);
  if (bpf_object__load(object_) != 0) {
    bpf_object__close(object_);
    throw std::runtime_error("cannot load " + object);
  }
}

bpf_program* Kernel::Program(const char* name) const {
  bpf_program* program = bpf_object__find_program_by_name(object_, name);
  CHECK(program != nullptr);
  return program;
}

int Kernel::Run(const char* program, const Bytes& frame, const char* device, uint32_t mark) const {
  __sk_buff context{};
  context.ifindex = if_nametoindex(device);
  context.mark = mark;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .ctx_in = &context, .ctx_size_in = sizeof context,
              .repeat = 1);
  options.data_size_in = static_cast<uint32_t>(frame.size());
  CHECK_EQUAL(bpf_prog_test_run_opts(bpf_program__fd(Program(program)), &options), 0);
  return static_cast<int>(options.retval);
}

int Kernel::Map(const char* name) const {
  const int map = bpf_object__find_map_fd_by_name(object_, name);
  CHECK(map >= 0);
  return map;
}

void Kernel::PutBytes(const char* map, const void* key, const void* value) const {
  CHECK_EQUAL(bpf_map_update_elem(Map(map), key, value, BPF_ANY), 0);
}

uint64_t Kernel::Counter(enum counter counter) const {
  std::vector<uint64_t> cells(static_cast<size_t>(libbpf_num_possible_cpus()));
  const uint32_t key = counter;
  CHECK_EQUAL(bpf_map_lookup_elem(Map("counters"), &key, cells.data()), 0);
  uint64_t sum = 0;
  for (const uint64_t cell : cells) sum += cell;
  return sum;
}

void Kernel::Enrol() const { Put("pods", NetnsCookie(), pod{kPod, 1, AddressV4(kSourceV4), AddressV6(kSourceV6)}); }

void Kernel::Leave() const { Remove("pods", NetnsCookie()); }

struct address AddressV4(const uint8_t (&bytes)[4]) {
  struct address result {};
  result.bytes[10] = result.bytes[11] = 0xff;
  memcpy(&result.bytes[12], bytes, sizeof bytes);
  return result;
}

struct address AddressV6(const uint8_t (&bytes)[16]) {
  struct address result;
  memcpy(result.bytes, bytes, sizeof bytes);
  return result;
}

}  // namespace weft::test
