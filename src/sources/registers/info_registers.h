// The text of the human monitor's `info registers -a`, parsed.
#pragma once

#include <string_view>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/machine/registers.h"

namespace vitrine {

// All vCPUs, by index. Takes the 64-bit form and the 32-bit form (a vCPU outside of long mode), and their mixture (a vCPU
// that runs 32-bit code in long mode). A register that is missing, given twice or no number is Errc::malformed: the text
// comes from the monitor, which is trusted no more than the guest.
Result<std::vector<VcpuState>> parse_info_registers(std::string_view text);

}  // namespace vitrine
