// The user half of a process's address space, and what the kernel notes about it: command line and environment.
#pragma once

#include <optional>
#include <string>

#include "os/linux/task_view.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

// The page tables of a process with this mm_struct. not_found for a null mm.
Result<Gpa> user_root(const LinuxGuest& guest, Gva mm);

struct CommandLine {
    std::string bytes;       // as /proc/PID/cmdline: arguments separated (and ended) by NUL
    bool truncated = false;  // longer than what is read, or partly paged out
};

struct Environment {
    std::string bytes;  // as /proc/PID/environ: KEY=VALUE, each ended by NUL; whatever else the program wrote there
    bool truncated = false;  // longer than what is read, or partly paged out
};

// One process after the other: what translates their addresses is made once.
class UserMemory {
public:
    explicit UserMemory(const LinuxGuest& guest) : guest_(guest) {}  // which outlives it

    // As fs/proc/base.c get_mm_cmdline: a program that wrote over its arguments and their end shows what it wrote. Pages that are not
    // in memory (swapped out) end it.
    Result<CommandLine> command_line(Gva mm, std::size_t max = 128 * 1024);
    // More than execve() lets arguments and environment take together (3/4 of the default stack limit, fs/exec.c) is not read.
    Result<Environment> environment(Gva mm, std::size_t max = 6u << 20);

private:
    // Until the next call.
    Result<const AddressSpace*> space_of(Gva mm);
    [[nodiscard]] Result<std::uint64_t> number(Gva mm, FieldId member) const;

    const LinuxGuest& guest_;
    std::optional<AddressSpace> space_;  // from the first use on
};

}  // namespace vitrine::linux_os
