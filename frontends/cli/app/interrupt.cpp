#include "app/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "app/exit_code.h"

namespace vitrine::cli {
namespace {

// A signal handler can reach nothing but objects of static duration.
volatile sig_atomic_t signal_seen = 0;
volatile sig_atomic_t shields = 0;
InterruptAction::Action volatile action_now = nullptr;
void* volatile action_context = nullptr;

void on_interrupt(int) {
    signal_seen = 1;
    const InterruptAction::Action action = action_now;
    if (action != nullptr) action(action_context);
    else if (shields == 0) _exit(kExitInterrupted);
}

void set_action(InterruptAction::Action action, void* context) {
    action_now = nullptr;  // never the one's function with the other's context
    action_context = context;
    action_now = action;
}

}  // namespace

void install_interrupt_handler() {
    struct sigaction action{};
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return signal_seen != 0; }

void forget_interrupt() { signal_seen = 0; }

InterruptAction::InterruptAction(Action action, void* context) : before_(action_now), context_before_(action_context) {
    set_action(action, context);
}

InterruptAction::~InterruptAction() { set_action(before_, context_before_); }

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
