#pragma once

namespace weft::test {

void RunTlsBench();

}  // namespace weft::test
