// Ctrl-C. By default it ends the program at once with exit code 130 (nothing is left behind: a guest is only ever stopped
// inside an InterruptShield). Inside a shield it only sets a flag, so that the guest is continued first. Ctrl-Z and the like wait for the
// end of the shield: a stopped program continues no guest.
#pragma once

#include <signal.h>

namespace vitrine::cli {

void install_interrupt_handler();
[[nodiscard]] bool interrupted();

class InterruptShield {
public:
    InterruptShield();
    InterruptShield(const InterruptShield&) = delete;
    InterruptShield& operator=(const InterruptShield&) = delete;
    ~InterruptShield();

private:
    sigset_t before_;
};

}  // namespace vitrine::cli
