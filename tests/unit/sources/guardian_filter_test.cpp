// The guardian's seccomp machine against the kernel's: filters are installed in a child, which then makes the call.
#include <errno.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <random>
#include <vector>

#include "sources/guardian/seccomp_filter.h"

namespace vitrine::guardian {
namespace {

using Program = std::vector<sock_filter>;

sock_filter statement(unsigned code, std::uint32_t k) { return {static_cast<std::uint16_t>(code), 0, 0, k}; }
sock_filter branch(unsigned code, std::uint32_t k, unsigned yes, unsigned no) {
    return {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no), k};
}
constexpr std::uint32_t kRequest = offsetof(seccomp_data, args) + 8;

seccomp_data ioctl_call(std::uint64_t request) {
    seccomp_data call{};
    call.nr = SYS_ioctl;
    call.arch = AUDIT_ARCH_X86_64;
    call.args[0] = 7;
    call.args[1] = request;
    return call;
}

// As monitors do it: one list of ioctl requests for the vCPU threads.
Program allow_list(std::uint32_t otherwise) {
    return {statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
            branch(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
            statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            branch(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
            statement(BPF_LD | BPF_W | BPF_ABS, kRequest),
            branch(BPF_JMP | BPF_JEQ | BPF_K, 0xae80, 2, 0),
            branch(BPF_JMP | BPF_JEQ | BPF_K, 0x8138ae83, 1, 0),
            statement(BPF_RET | BPF_K, otherwise),
            statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

TEST(SeccompFilter, ListOfRequests) {
    const Program program = allow_list(SECCOMP_RET_TRAP);
    const auto answer = [&](const seccomp_data& call) { return run_filter(program.data(), program.size(), call); };
    EXPECT_EQ(answer(ioctl_call(0xae80)), SECCOMP_RET_ALLOW);
    EXPECT_EQ(answer(ioctl_call(0x8138ae83)), SECCOMP_RET_ALLOW);
    EXPECT_EQ(answer(ioctl_call(0xc008ae88)), SECCOMP_RET_TRAP);
    seccomp_data call = ioctl_call(1);
    call.nr = SYS_read;
    EXPECT_EQ(answer(call), SECCOMP_RET_ALLOW);
    call.arch = AUDIT_ARCH_I386;
    EXPECT_EQ(answer(call), SECCOMP_RET_KILL_PROCESS);
}

TEST(SeccompFilter, WhatIsNoProgramKills) {
    EXPECT_EQ(run_filter(nullptr, 0, ioctl_call(1)), SECCOMP_RET_KILL_PROCESS);
    const Program endless{statement(BPF_JMP | BPF_JA, 0xffffffff)};
    EXPECT_EQ(run_filter(endless.data(), endless.size(), ioctl_call(1)), SECCOMP_RET_KILL_PROCESS);
    const Program outside{statement(BPF_LD | BPF_W | BPF_ABS, 64), statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    EXPECT_EQ(run_filter(outside.data(), outside.size(), ioctl_call(1)), SECCOMP_RET_KILL_PROCESS);
}

// The kernel's answer, as the errno that the filter gives; -1: it would not take the program.
int kernel_answer(const Program& program, std::uint64_t second_argument) {
    const pid_t child = ::fork();
    if (child == 0) {
        sock_fprog description{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &description) != 0)
            ::_exit(255);
        errno = 0;
        (void)::syscall(SYS_ioctl, -1, second_argument, 0);
        ::_exit(errno == EBADF ? 0 : errno);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

// A program of random arithmetic on the request; the result decides between two errors. Other calls pass.
Program random_program(std::mt19937& generator) {
    const auto random = [&] { return static_cast<std::uint32_t>(generator()); };
    Program program{statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                    branch(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0),
                    statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                    statement(BPF_LDX | BPF_W | BPF_IMM, random() | 1u),
                    statement(BPF_ST, random() % BPF_MEMWORDS),
                    statement(BPF_LD | BPF_W | BPF_ABS, kRequest)};
    program[4].k = 3;
    const unsigned operations[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,
                                   BPF_AND, BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG};
    for (int i = 0; i < 12; ++i) {
        const unsigned operation = operations[random() % std::size(operations)];
        const bool shift = operation == BPF_LSH || operation == BPF_RSH;
        const bool plain = shift || operation == BPF_NEG;
        const unsigned source = !plain && random() % 2 != 0 ? BPF_X : BPF_K;
        program.push_back(statement(BPF_ALU | operation | source, shift ? random() % 32 : random() | 1u));
        switch (random() % 6) {
            case 0: program.push_back(statement(BPF_STX, 5)); break;
            case 1: program.push_back(statement(BPF_MISC | BPF_TXA, 0)); break;
            case 2: program.push_back(statement(BPF_LDX | BPF_MEM, 3)); break;
            case 3:
                program.push_back(branch(BPF_JMP | BPF_JSET | BPF_K, random(), 1, 0));
                program.push_back(statement(BPF_ALU | BPF_ADD | BPF_K, random()));
                break;
            default: break;
        }
        if (random() % 3 == 0) {  // X stays odd: it is a divisor
            program.push_back(statement(BPF_LDX | BPF_W | BPF_IMM, random() | 1u));
        }
    }
    program.push_back(branch(BPF_JMP | BPF_JGT | BPF_K, random(), 1, 0));
    program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 41));
    program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 42));
    return program;
}

TEST(SeccompFilter, AgreesWithTheKernel) {
    std::mt19937 random(5);
    int compared = 0;
    for (int round = 0; round < 300; ++round) {
        const Program program = random_program(random);
        const auto argument = static_cast<std::uint32_t>(random());
        const int kernel = kernel_answer(program, argument);
        if (kernel < 0) continue;
        ++compared;
        seccomp_data call = ioctl_call(argument);
        const std::uint32_t ours = run_filter(program.data(), program.size(), call);
        ASSERT_EQ(ours, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(kernel)) << "round " << round;
    }
    EXPECT_GT(compared, 250);
}

}  // namespace
}  // namespace vitrine::guardian
