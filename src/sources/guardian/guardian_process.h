// The guardian's own side: the loop that runs in the forked process.
//
// The fork may come out of a program with many threads, any of which may hold a lock of the allocator or of the standard
// library at that moment, for ever. So nothing that runs here allocates, locks, throws or uses C++ objects that were there
// before: system calls and memory that was mapped for it.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "sources/guardian/protocol.h"

namespace vitrine::guardian {

struct ProcessArguments {
    int socket = -1;       // our end of the pair
    int owner_pidfd = -1;  // of the process that started us
    int monitor_pidfd = -1;
    pid_t monitor = -1;
    std::byte* arena = nullptr;   // kArenaBytes, shared with the owner
    void* memory = nullptr;       // process_memory_bytes(), private
    const char* qmp_socket = "";  // lies in memory that the fork copied
    pid_t qmp_peer = -1;          // who must listen there; -1: anyone
    unsigned qmp_timeout_ms = 500;
};

std::size_t process_memory_bytes();

// Runs until the owner is gone and everything is undone.
[[noreturn]] void run_guardian_process(const ProcessArguments& arguments);

}  // namespace vitrine::guardian
