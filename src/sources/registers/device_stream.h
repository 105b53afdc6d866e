// Registers out of QEMU's device stream (QMP xen-save-devices-state, a migration stream without RAM): the only way to read
// LSTAR and the other MSRs of a guest under TCG.
//
// The stream has no self-description that a reader may rely on, so the place of the registers is taken from the order of
// QEMU's vmstate_x86_cpu and then proven: IDTR, GDTR, CR0, CR4 and EFER must be found at their places with the values that
// the monitor gave by another route. When they are not, there is no answer.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/machine/registers.h"

namespace vitrine {

// For each of `known` whose section is found and proven: its state at the moment of the stream, with the MSRs.
// Others are left as they are, without MSRs. Errors: malformed (no such stream).
Result<std::vector<VcpuState>> read_device_stream(std::span<const std::byte> stream, std::vector<VcpuState> known);

}  // namespace vitrine
