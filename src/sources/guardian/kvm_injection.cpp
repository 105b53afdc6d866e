#include "sources/guardian/kvm_injection.h"

#include <linux/audit.h>
#include <string.h>
#include <sys/syscall.h>

namespace vitrine::guardian {

namespace {

// As a C compiler computes them: in C++ the kernel's flexible-array macro adds an empty struct of size 1, which changes
// sizeof(struct kvm_msrs) and with it the number that _IOWR() gives for KVM_GET_MSRS.
constexpr std::uint64_t kKvmRun = 0xAE80;
constexpr std::uint64_t kKvmGetRegs = 0x8090AE81;
constexpr std::uint64_t kKvmGetSregs = 0x8138AE83;
constexpr std::uint64_t kKvmGetMsrs = 0xC008AE88;
static_assert(sizeof(struct kvm_regs) == 0x90 && sizeof(struct kvm_sregs) == 0x138);

// Bytes below the stack pointer that a leaf function may use without moving it (x86-64 psABI 3.2.2).
constexpr std::uint64_t kRedZone = 128;
// As small as the calls allow: less than the kernel itself takes there for any signal handler.
constexpr std::size_t kScratchBytes = 320;
constexpr std::uint16_t kUserCode64 = 0x33;
constexpr int kTries = 8;

struct MsrBuffer {
    std::uint32_t count;
    std::uint32_t padding;
    struct kvm_msr_entry entries[kMaxMsrs];
};
static_assert(sizeof(MsrBuffer) <= kScratchBytes && sizeof(struct kvm_sregs) <= kScratchBytes);

// A piece of the thread's stack, below everything it uses, whose bytes are put back.
class Scratch {
public:
    bool open(TracedThread& thread, std::uint64_t stack_pointer) {
        if (stack_pointer < kRedZone + kScratchBytes + 64) return false;
        thread_ = &thread;
        address_ = (stack_pointer - kRedZone - kScratchBytes) & ~std::uint64_t{63};
        if (!thread.read(address_, saved_, sizeof(saved_))) return false;
        // Writing the same bytes back changes nothing and proves that the call may write there.
        open_ = thread.write(address_, saved_, sizeof(saved_));
        return open_;
    }
    void restore() {
        if (open_) (void)thread_->write(address_, saved_, sizeof(saved_));
        open_ = false;
    }
    [[nodiscard]] std::uint64_t address() const { return address_; }

private:
    TracedThread* thread_ = nullptr;
    std::uint64_t address_ = 0;
    bool open_ = false;
    unsigned char saved_[kScratchBytes] = {};
};

// ioctl(vcpu, request, argument): the thread is at the end of ioctl(vcpu, KVM_RUN).
Status call(TracedThread& thread, const user_regs_struct& home, std::uint64_t request, std::uint64_t argument,
            Deadline deadline, std::int64_t* result, std::int32_t* sys_errno) {
    Status status = Status::interrupted;
    for (int i = 0; i < kTries && status == Status::interrupted; ++i) {
        if (thread.signal_pending()) return Status::interrupted;
        status = thread.call_again(home, request, argument, deadline, result);
    }
    if (status == Status::ok && *result < 0) {
        *sys_errno = static_cast<std::int32_t>(-*result);
        return Status::refused;
    }
    return status;
}

Status read_msrs(TracedThread& thread, const user_regs_struct& home, const VcpuRequest& request, std::uint64_t scratch,
                 Deadline deadline, VcpuRecord* record, std::int32_t* sys_errno) {
    MsrBuffer buffer{};
    buffer.count = request.msr_count;
    for (std::uint32_t i = 0; i < request.msr_count; ++i) buffer.entries[i].index = request.msrs[i];
    const std::size_t size = 8 + sizeof(struct kvm_msr_entry) * request.msr_count;
    if (!thread.write(scratch, &buffer, size)) return Status::gone;
    std::int64_t done = 0;
    const Status status = call(thread, home, kKvmGetMsrs, scratch, deadline, &done, sys_errno);
    if (status != Status::ok) return status;
    if (!thread.read(scratch, &buffer, size)) return Status::gone;
    // The call answers with how many it read before one that it does not know.
    const std::uint64_t answered = static_cast<std::uint64_t>(done);
    record->msr_count = answered < request.msr_count ? static_cast<std::uint32_t>(answered) : request.msr_count;
    memcpy(record->msrs, buffer.entries, sizeof(record->msrs));
    return Status::ok;
}

Status check_call(TracedThread& thread, pid_t monitor, const user_regs_struct& home, std::int32_t fd,
                  std::uint64_t request, std::uint64_t scratch, bool trusts_filter, struct sock_filter* filter_room) {
    struct seccomp_data call = {};
    call.nr = SYS_ioctl;
    call.arch = AUDIT_ARCH_X86_64;
    call.instruction_pointer = home.rip;
    // The last three are what call_again() leaves as the thread has it.
    const std::uint64_t arguments[6] = {static_cast<std::uint64_t>(fd), request, scratch, home.r10, home.r8, home.r9};
    for (std::size_t i = 0; i < 6; ++i) call.args[i] = arguments[i];
    switch (check_filters(thread, monitor, &call, 1, filter_room)) {
        case FilterVerdict::allowed: return Status::ok;
        case FilterVerdict::forbidden: return Status::forbidden;
        case FilterVerdict::unknown: return trusts_filter ? Status::ok : Status::filter_unknown;
    }
    return Status::forbidden;
}

}  // namespace

int vcpu_of(const TracedThread& thread, const user_regs_struct& registers, const VcpuFile* files, std::uint32_t count) {
    if (registers.orig_rax != SYS_ioctl || registers.rsi != kKvmRun || registers.cs != kUserCode64) return -1;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (registers.rdi != static_cast<std::uint64_t>(static_cast<std::uint32_t>(files[i].fd))) continue;
        unsigned char before[2] = {};
        const bool is_syscall = thread.read(registers.rip - 2, before, sizeof(before)) && before[0] == 0x0f &&
                                before[1] == 0x05;
        return is_syscall ? static_cast<int>(i) : -1;
    }
    return -1;
}

Status read_vcpu(TracedThread& thread, const user_regs_struct& home, const VcpuFile& vcpu, const VcpuRequest& request,
                 pid_t monitor, struct sock_filter* filter_room, Deadline deadline, VcpuRecord* record,
                 std::int32_t* sys_errno) {
    *record = VcpuRecord();
    record->id = vcpu.id;
    record->thread = thread.tid();
    record->msr_limit = request.msr_count;
    Scratch scratch;
    if (!scratch.open(thread, home.rsp)) return Status::refused;
    const std::uint64_t at = scratch.address();
    std::int64_t result = 0;
    const auto allowed = [&](std::uint64_t number) {
        return check_call(thread, monitor, home, vcpu.fd, number, at, request.trusts_filter, filter_room);
    };
    Status status = allowed(kKvmGetSregs);
    if (status == Status::ok) status = allowed(kKvmGetRegs);
    if (status == Status::ok) status = call(thread, home, kKvmGetSregs, at, deadline, &result, sys_errno);
    if (status == Status::ok && !thread.read(at, &record->sregs, sizeof(record->sregs))) status = Status::gone;
    if (status == Status::ok) status = call(thread, home, kKvmGetRegs, at, deadline, &result, sys_errno);
    if (status == Status::ok && !thread.read(at, &record->regs, sizeof(record->regs))) status = Status::gone;
    if (status == Status::ok && request.msr_count != 0 && allowed(kKvmGetMsrs) == Status::ok) {
        status = read_msrs(thread, home, request, at, deadline, record, sys_errno);
        if (status == Status::refused) status = Status::ok;  // what is known is known; msr_count says how much
    }
    scratch.restore();
    return status;
}

}  // namespace vitrine::guardian
