// A recording as a machine that stands still.
#pragma once

#include <memory>

#include "sources/recorded/recorded_file.h"
#include "vitrine/machine/machine.h"

namespace vitrine {

// info: of the file; what the recording says of itself is added.
[[nodiscard]] std::unique_ptr<Machine> make_recorded_machine(RecordedFile recording, MachineInfo info);

}  // namespace vitrine
