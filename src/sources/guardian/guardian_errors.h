// What is said of a guardian's status.
#pragma once

#include "sources/guardian/guardian.h"
#include "sources/guardian/protocol.h"

namespace vitrine::guardian {

// It was killed, or ended.
[[nodiscard]] Error guardian_lost();
[[nodiscard]] Error to_error(const GuardianTarget& target, Status status, int sys_errno);

}  // namespace vitrine::guardian
