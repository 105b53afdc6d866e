// Ctrl-C. By default it ends the program at once with exit code 130 (nothing is left behind: a guest is only ever stopped
// inside an InterruptShield). Inside a shield it only sets a flag, so that the guest is continued first. Ctrl-Z and the like wait for the
// end of the shield: a stopped program continues no guest. Inside an InterruptAction it stops what runs, not the program.
#pragma once

#include <signal.h>

namespace vitrine::cli {

void install_interrupt_handler();
[[nodiscard]] bool interrupted();
void forget_interrupt();  // it was answered

class InterruptShield {
public:
    InterruptShield();
    InterruptShield(const InterruptShield&) = delete;
    InterruptShield& operator=(const InterruptShield&) = delete;
    ~InterruptShield();

private:
    sigset_t before_;
};

// While it lives, Ctrl-C calls the action from the signal handler (so it must be async-signal-safe) and ends nothing by itself.
class InterruptAction {
public:
    using Action = void (*)(void* context);
    InterruptAction(Action action, void* context);
    InterruptAction(const InterruptAction&) = delete;
    InterruptAction& operator=(const InterruptAction&) = delete;
    ~InterruptAction();

private:
    Action before_;
    void* context_before_;
};

}  // namespace vitrine::cli
