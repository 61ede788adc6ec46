#pragma once

#include <nan.h>

namespace weft::binding {

NAN_MODULE_INIT(InitCapture);
NAN_MODULE_INIT(InitBrokerClient);
NAN_MODULE_INIT(InitEngine);
NAN_MODULE_INIT(InitFiles);
NAN_MODULE_INIT(InitProcess);
NAN_MODULE_INIT(InitSharedMemory);

}  // namespace weft::binding
