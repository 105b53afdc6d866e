#include "app/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "app/exit_code.h"

namespace vitrine::cli {
namespace {

// A signal handler can reach nothing but objects of static duration.
volatile sig_atomic_t signal_seen = 0;
volatile sig_atomic_t shields = 0;

void on_interrupt(int) {
    signal_seen = 1;
    if (shields == 0) _exit(kExitInterrupted);
}

}  // namespace

void install_interrupt_handler() {
    struct sigaction action{};
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return signal_seen != 0; }

InterruptShield::InterruptShield() {
    shields = shields + 1;
    sigset_t stops;
    sigemptyset(&stops);
    for (const int signal : {SIGTSTP, SIGTTIN, SIGTTOU}) sigaddset(&stops, signal);
    pthread_sigmask(SIG_BLOCK, &stops, &before_);
}

InterruptShield::~InterruptShield() {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    shields = shields - 1;
}

}  // namespace vitrine::cli
