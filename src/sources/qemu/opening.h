// From a QEMU process to a machine: its monitor is asked, or its mappings are looked at where the monitor does not answer.
#pragma once

#include <memory>
#include <string>

#include "sources/host/process.h"
#include "sources/qemu/discovery.h"
#include "sources/qemu/qemu_machine.h"

namespace vitrine {

// `socket`: the monitor's, as it was given; empty: found by way of the command line.
Result<std::unique_ptr<Machine>> open_qemu_process(std::shared_ptr<const HostProcess> process, QemuProcess qemu,
                                                   const OpenOptions& options, const std::string& socket);

}  // namespace vitrine
