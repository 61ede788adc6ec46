#include "bench.h"

int main() {
  weft::test::RunTlsBench();
  return 0;
}
