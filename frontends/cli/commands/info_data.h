// `vitrine info` for programs.
#pragma once

#include <string>
#include <vector>

#include "app/session.h"

namespace vitrine::cli {

struct RegisterAccount {
    std::string route;  // "" when there is none
    std::vector<VcpuState> vcpus;
    std::string why_not;
};

// In the format of the session, which is not `table`: an array with one object, one line, or rows of item and value.
void write_info_data(Session& session, Guest& guest, const RegisterAccount& registers);

}  // namespace vitrine::cli
