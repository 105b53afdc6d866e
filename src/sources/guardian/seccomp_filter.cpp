#include "sources/guardian/seccomp_filter.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>

namespace vitrine::guardian {

namespace {

constexpr unsigned kMaxFilters = 256;

// The machine of classic BPF (Documentation/networking/filter.rst), as far as seccomp allows it (kernel/seccomp.c,
// seccomp_check_filter()): loads come from the call's data only.
class Machine {
public:
    Machine(const struct sock_filter* program, std::size_t length, const struct seccomp_data& call)
        : program_(program), length_(length) {
        memcpy(data_, &call, sizeof(data_));
    }

    std::uint32_t run() {
        // Jumps only lead forward, so every instruction runs once at most.
        while (at_ < length_) {
            const struct sock_filter& i = program_[at_++];
            if (BPF_CLASS(i.code) == BPF_RET) return BPF_RVAL(i.code) == BPF_A ? a_ : i.k;
            if (!step(i)) break;
        }
        return SECCOMP_RET_KILL_PROCESS;
    }

private:
    bool step(const struct sock_filter& i) {
        switch (BPF_CLASS(i.code)) {
            case BPF_LD: return load(i, a_);
            case BPF_LDX: return load(i, x_);
            case BPF_ST: return i.k < BPF_MEMWORDS && ((memory_[i.k] = a_), true);
            case BPF_STX: return i.k < BPF_MEMWORDS && ((memory_[i.k] = x_), true);
            case BPF_ALU: return compute(i);
            case BPF_JMP: return jump(i);
            default: break;
        }
        if (BPF_MISCOP(i.code) == BPF_TAX) x_ = a_;
        else a_ = x_;
        return true;
    }

    bool load(const struct sock_filter& i, std::uint32_t& out) {
        switch (BPF_MODE(i.code)) {
            case BPF_IMM: out = i.k; return true;
            case BPF_LEN: out = sizeof(struct seccomp_data); return true;
            case BPF_MEM:
                if (i.k >= BPF_MEMWORDS) return false;
                out = memory_[i.k];
                return true;
            case BPF_ABS:
                if (i.k % 4 != 0 || i.k > sizeof(data_) - 4) return false;
                out = data_[i.k / 4];
                return true;
            default: return false;
        }
    }

    bool compute(const struct sock_filter& i) {
        const std::uint32_t b = BPF_SRC(i.code) == BPF_X ? x_ : i.k;
        switch (BPF_OP(i.code)) {
            case BPF_ADD: a_ += b; return true;
            case BPF_SUB: a_ -= b; return true;
            case BPF_MUL: a_ *= b; return true;
            case BPF_DIV: return b != 0 && ((a_ /= b), true);
            case BPF_OR: a_ |= b; return true;
            case BPF_AND: a_ &= b; return true;
            case BPF_XOR: a_ ^= b; return true;
            case BPF_LSH: return b < 32 && ((a_ <<= b), true);
            case BPF_RSH: return b < 32 && ((a_ >>= b), true);
            case BPF_NEG: a_ = 0u - a_; return true;
            default: return false;
        }
    }

    bool jump(const struct sock_filter& i) {
        const std::uint32_t b = BPF_SRC(i.code) == BPF_X ? x_ : i.k;
        bool taken = false;
        switch (BPF_OP(i.code)) {
            case BPF_JA: at_ += i.k; return at_ < length_;
            case BPF_JEQ: taken = a_ == b; break;
            case BPF_JGT: taken = a_ > b; break;
            case BPF_JGE: taken = a_ >= b; break;
            case BPF_JSET: taken = (a_ & b) != 0; break;
            default: return false;
        }
        at_ += taken ? i.jt : i.jf;
        return true;
    }

    const struct sock_filter* program_;
    std::size_t length_;
    std::size_t at_ = 0;
    std::uint32_t a_ = 0, x_ = 0;
    std::uint32_t memory_[BPF_MEMWORDS] = {};
    std::uint32_t data_[sizeof(struct seccomp_data) / 4] = {};
};

}  // namespace

std::uint32_t run_filter(const struct sock_filter* program, std::size_t length, const struct seccomp_data& call) {
    return Machine(program, length, call).run();
}

FilterVerdict check_filters(const TracedThread& thread, pid_t monitor, const struct seccomp_data* calls,
                            std::size_t count, struct sock_filter* room) {
    for (unsigned index = 0; index < kMaxFilters; ++index) {
        const long length = ptrace(PTRACE_SECCOMP_GET_FILTER, thread.tid(), static_cast<unsigned long>(index), nullptr);
        if (length < 0 && errno == ENOENT) return FilterVerdict::allowed;  // that was the last
        const bool readable = length >= 0 && length <= BPF_MAXINSNS &&
                              ptrace(PTRACE_SECCOMP_GET_FILTER, thread.tid(), static_cast<unsigned long>(index),
                                     room) == length;
        if (!readable) {
            // 0: seccomp is off for this thread.
            const bool off = index == 0 && thread_status_field(monitor, thread.tid(), "\nSeccomp:\t") == 0;
            return off ? FilterVerdict::allowed : FilterVerdict::unknown;
        }
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t action = run_filter(room, static_cast<std::size_t>(length), calls[i]) &
                                         SECCOMP_RET_ACTION_FULL;
            if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG) return FilterVerdict::forbidden;
        }
    }
    return FilterVerdict::unknown;
}

}  // namespace vitrine::guardian
