// Parts of docs/wire.md that tests hold the code to.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace weft::test {

// The first two columns of the table below the heading.
std::map<std::string, std::string> TableOfTheDocument(const std::string& heading);

struct Vector {
  std::string name;                           // of the frame
  std::map<std::string, std::string> fields;  // "stream", and those of its payload
  std::string hex;
};

// The fenced block below the heading "Test vectors": a line that names the frame and its fields, then lines of hex.
std::vector<Vector> VectorsOfTheDocument();

}  // namespace weft::test
