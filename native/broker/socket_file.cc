#include "socket_file.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace weft::broker {
namespace {

constexpr int kBacklog = 128;

}  // namespace

SocketFile::SocketFile(std::string path)
    : path_(std::move(path)), socket_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) throw std::system_error(ENAMETOOLONG, std::generic_category(), path_);
  memcpy(address.sun_path, path_.data(), path_.size());
  unlink(path_.c_str());
  struct stat identity;
  // Anybody may connect: the kernel tells who it is (SO_PEERCRED), and that decides.
  if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path_.c_str(), 0666) != 0 || stat(path_.c_str(), &identity) != 0 || listen(socket_.get(), kBacklog) != 0) {
    throw std::system_error(errno, std::generic_category(), path_);
  }
  device_ = identity.st_dev;
  inode_ = identity.st_ino;
}

SocketFile::~SocketFile() {
  struct stat identity;
  if (stat(path_.c_str(), &identity) != 0 || identity.st_dev != device_ || identity.st_ino != inode_) return;
  unlink(path_.c_str());
}

}  // namespace weft::broker
