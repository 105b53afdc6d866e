// What KVM's read ioctls gave for a vCPU, as registers.
#pragma once

#include <vector>

#include "sources/guardian/protocol.h"
#include "vitrine/machine/registers.h"

namespace vitrine {

// The MSRs to ask for, in any order.
[[nodiscard]] std::vector<std::uint32_t> kvm_msr_indices();
[[nodiscard]] VcpuState to_vcpu_state(const guardian::VcpuRecord& record);

}  // namespace vitrine
