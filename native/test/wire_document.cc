#include "wire_document.h"

#include <fstream>
#include <sstream>

#include "check.h"

namespace weft::test {
namespace {

std::vector<std::string> Section(const std::string& heading) {
  std::ifstream document("../../docs/wire.md");
  if (!document.is_open()) document.open("docs/wire.md");
  CHECK(document.is_open() && "run in native/test or in the project's folder");
  std::vector<std::string> lines;
  bool within = false;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("#")) {
      within = line == heading;
    } else if (within) {
      lines.push_back(line);
    }
  }
  CHECK(!lines.empty());
  return lines;
}

std::string Trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" `"), end = text.find_last_not_of(" `");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

}  // namespace

std::map<std::string, std::string> TableOfTheDocument(const std::string& heading) {
  std::map<std::string, std::string> rows;
  int line_of_table = 0;
  for (const std::string& line : Section(heading)) {
    if (!line.starts_with("|") || ++line_of_table <= 2) continue;  // the header and its rule
    const size_t second = line.find('|', 1), third = line.find('|', second + 1);
    CHECK(second != std::string::npos && third != std::string::npos);
    const std::string name = Trimmed(line.substr(1, second - 1));
    CHECK(rows.emplace(name, Trimmed(line.substr(second + 1, third - second - 1))).second);
  }
  CHECK(!rows.empty());
  return rows;
}

std::vector<Vector> VectorsOfTheDocument() {
  std::vector<Vector> vectors;
  bool fenced = false;
  for (const std::string& line : Section("## Test vectors")) {
    if (line.starts_with("```")) {
      fenced = !fenced;
      continue;
    }
    if (!fenced || line.empty()) continue;
    if (line.starts_with(" ")) {
      CHECK(!vectors.empty());
      for (const char digit : line) {
        if (digit != ' ') vectors.back().hex += digit;
      }
      continue;
    }
    std::istringstream words(line);
    Vector& vector = vectors.emplace_back();
    words >> vector.name;
    for (std::string word; words >> word;) {
      const size_t equals = word.find('=');
      CHECK(equals != std::string::npos);
      vector.fields[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  return vectors;
}

}  // namespace weft::test
