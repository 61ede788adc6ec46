// The broker's listening socket and its name in the file system.
#pragma once

#include <sys/types.h>

#include <string>

#include "descriptor.h"

namespace weft::broker {

class SocketFile {
 public:
  // Replaces what is at the path. Throws std::system_error.
  explicit SocketFile(std::string path);
  // Takes the name away, unless it is another broker's by now.
  ~SocketFile();
  SocketFile(const SocketFile&) = delete;
  int descriptor() const { return socket_.get(); }

 private:
  std::string path_;
  Descriptor socket_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace weft::broker
