// The domains of libvirt on this host, from what it leaves in its folders. Connects to nothing, so that no daemon is
// started or waited for.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

namespace vitrine {

// Domain names by the process id of their QEMU: NAME.pid and NAME.xml of the folder. Empty when it cannot be read.
std::map<pid_t, std::string> read_libvirt_domains(const std::string& folder);

// Those of the system's libvirt and of each user's own.
std::map<pid_t, std::string> find_libvirt_domains();

}  // namespace vitrine
