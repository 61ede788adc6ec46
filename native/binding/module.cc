#include "modules.h"

namespace {

NAN_MODULE_INIT(Init) {
  weft::binding::InitCapture(target);
  weft::binding::InitBrokerClient(target);
  weft::binding::InitEngine(target);
  weft::binding::InitFiles(target);
  weft::binding::InitProcess(target);
  weft::binding::InitSharedMemory(target);
}

}  // namespace

NODE_MODULE(NODE_GYP_MODULE_NAME, Init)
