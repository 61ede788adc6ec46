// A program on what a device of the current network namespace receives. TCX where the kernel has it (Linux 6.6), as it
// is put in and taken out without stopping the device; else a filter of a clsact qdisc, whose making loses what the pod
// is sending at that moment (qdisc_graft calls dev_deactivate).
#pragma once

#include <cstdint>

namespace weft::capture {

// Replaces what an earlier agent has attached under the same name, in either way.
void AttachIngressProgram(unsigned device, int program);
bool IsIngressProgramAttached(unsigned device, int program);
// Fails in silence where nothing is attached, as it should be afterwards.
void DetachIngressProgram(unsigned device, int program);

}  // namespace weft::capture
