#include "sources/host/process_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace vitrine {
namespace {

constexpr std::size_t kMaxPieces = 512;  // IOV_MAX is 1024; beyond 512 nothing is gained
// One call moves less than 2 GiB (MAX_RW_COUNT), and a shorter one can be told from one that hit a hole.
constexpr std::size_t kMaxBytes = 1u << 30;
constexpr std::size_t kSmall = 16 * 1024;

Error ended(pid_t pid) {
    return Error::with_text(Errc::stale, Origin::source, fmt::format("process {} has ended", pid));
}

}  // namespace

ProcessMemory::ProcessMemory(const HostProcess& process)
    : process_(process), mem_(::open(process.path("mem").c_str(), O_RDONLY | O_CLOEXEC)) {}

Result<std::size_t> ProcessMemory::read_some(std::span<ProcessReadOp> ops) const {
    // Not cleared: that would cost as much as a small read.
    const std::size_t most = std::min(ops.size(), kMaxPieces);
    const auto vectors = std::make_unique_for_overwrite<iovec[]>(2 * most);
    iovec* const local = vectors.get();
    iovec* const remote = local + most;
    std::size_t pieces = 0, runs = 0, bytes = 0;
    for (const ProcessReadOp& op : ops) {
        if (pieces == most || (pieces > 0 && bytes + op.out.size() > kMaxBytes)) break;
        auto* const there = reinterpret_cast<std::byte*>(op.address);
        local[pieces++] = {op.out.data(), op.out.size()};
        bytes += op.out.size();
        if (runs > 0 && static_cast<std::byte*>(remote[runs - 1].iov_base) + remote[runs - 1].iov_len == there) {
            remote[runs - 1].iov_len += op.out.size();
        } else {
            remote[runs++] = {there, op.out.size()};
        }
    }
    const ssize_t n = ::process_vm_readv(process_.pid(), local, pieces, remote, runs, 0);
    if (n < 0 && errno != EFAULT) {
        if (errno == ESRCH) return ended(process_.pid());
        return process_error(process_.pid(), errno, "reading the memory of");
    }
    // Bytes arrive in order until the first page that is not there: that op fails, those behind it are asked for anew.
    std::size_t left = n > 0 ? static_cast<std::size_t>(n) : 0;
    std::size_t done = 0;
    for (; done < pieces; ++done) {
        ProcessReadOp& op = ops[done];
        op.ok = op.out.size() <= left;
        if (!op.ok) return done + 1;
        left -= op.out.size();
    }
    return done;
}

Result<void> ProcessMemory::read(std::span<ProcessReadOp> ops) const {
    if (ops.size() == 1 && mem_.is_open() && ops[0].out.size() <= kSmall) {
        // The open file belongs to the address space, not to the pid: after the process ended it reads as empty.
        ProcessReadOp& op = ops[0];
        const ssize_t n = ::pread(mem_.get(), op.out.data(), op.out.size(), static_cast<off_t>(op.address));
        op.ok = n == static_cast<ssize_t>(op.out.size());
        if (n == 0 && !op.out.empty()) return ended(process_.pid());
        return {};
    }
    while (!ops.empty()) {
        // Longer than one call can move: in pieces.
        if (ops.front().out.size() > kMaxBytes) {
            const ProcessReadOp whole = ops.front();
            bool ok = true;
            for (std::size_t at = 0; ok && at < whole.out.size(); at += kMaxBytes) {
                ProcessReadOp part{whole.address + at,
                                   whole.out.subspan(at, std::min(kMaxBytes, whole.out.size() - at)), false};
                (void)VITRINE_TRY(read_some({&part, 1}));
                ok = part.ok;
            }
            ops.front().ok = ok;
            ops = ops.subspan(1);
            continue;
        }
        ops = ops.subspan(VITRINE_TRY(read_some(ops)));
    }
    // process_vm_readv takes a pid, which another process may own by now: alive afterwards means that it was the same.
    return process_.check_alive();
}

}  // namespace vitrine
