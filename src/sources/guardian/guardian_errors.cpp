#include "sources/guardian/guardian_errors.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "sources/host/process.h"

namespace vitrine::guardian {
namespace {

// Another tracer, or a missing capability? Both are EPERM.
Error trace_refused(pid_t pid) {
    const auto status = read_whole_file(fmt::format("/proc/{}/status", pid), 64 * 1024);
    const std::size_t at = status ? status->find("TracerPid:\t") : std::string::npos;
    if (at != std::string::npos && status->compare(at + 11, 2, "0\n") != 0) {
        return Error::with_text(Errc::busy, Origin::source, fmt::format("process {} is being traced already", pid),
                                "end the debugger, or the other instance, that holds it");
    }
    return process_error(pid, EPERM, "tracing");
}

}  // namespace

Error guardian_lost() {
    return Error::with_text(Errc::io, Origin::source, "the guardian process ended while it was needed",
                            "docs/guardian.md says what this can leave behind");
}

Error to_error(const GuardianTarget& target, Status status, int sys_errno) {
    const auto text = [&](Errc code, std::string what, std::string hint = {}) {
        return Error::with_text(code, Origin::source, std::move(what), std::move(hint));
    };
    switch (status) {
        case Status::ok: break;
        case Status::not_in_kvm_run:
            return text(
                Errc::busy,
                fmt::format("no vCPU thread of process {} is running its guest (is the guest paused?)", target.pid));
        case Status::traced:
        case Status::permission: return trace_refused(target.pid);
        case Status::gone: return text(Errc::stale, fmt::format("process {} has ended", target.pid));
        case Status::timeout: return text(Errc::timeout, fmt::format("process {} did not answer in time", target.pid));
        case Status::interrupted:
            return text(Errc::busy,
                        fmt::format("signals keep the vCPU threads of process {} from being read", target.pid));
        case Status::stopped:
            return text(Errc::busy, fmt::format("process {} is stopped by a signal", target.pid),
                        fmt::format("kill -CONT {}", target.pid));
        case Status::forbidden:
            return text(
                Errc::permission,
                fmt::format("the seccomp filter of process {} forbids reading its vCPUs' registers", target.pid));
        case Status::filter_unknown:
            return text(Errc::permission,
                        fmt::format("process {} has a seccomp filter that cannot be read: what it forbids could end it",
                                    target.pid),
                        "give this program CAP_SYS_ADMIN (and CAP_SYS_PTRACE), outside of a container");
        case Status::refused:
            return text(Errc::io, fmt::format("process {}: {}", target.pid,
                                              sys_errno != 0 ? std::strerror(sys_errno) : "refused"));
        case Status::malformed: return text(Errc::malformed, "the monitor's answer is not understood");
        case Status::too_big: return text(Errc::limit, "the monitor's answer is too large");
        case Status::no_connection:
            return text(sys_errno == EACCES || sys_errno == EPERM ? Errc::permission : Errc::io,
                        fmt::format("cannot connect to '{}': {}", target.qmp_socket,
                                    sys_errno != 0 ? std::strerror(sys_errno) : "no socket known"));
        case Status::busy:
            return text(Errc::busy, fmt::format("'{}' gives no greeting: another client holds it", target.qmp_socket));
        case Status::wrong_peer:
            return text(Errc::io,
                        fmt::format("'{}' does not belong to process {} any more", target.qmp_socket, target.pid));
        case Status::migrating:
            return text(Errc::unsupported,
                        fmt::format("the guest of process {} is being migrated: paused now, it would arrive paused",
                                    target.pid),
                        "wait until the migration is over, or leave out the pause");
        case Status::not_held: return text(Errc::usage, "nothing is paused");
        case Status::already_held: return text(Errc::usage, "the guest is paused already");
    }
    return text(Errc::io, "the guardian gave no reason");
}

}  // namespace vitrine::guardian
