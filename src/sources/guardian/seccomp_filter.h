// Would the monitor's seccomp filters let a system call pass? A monitor may have forbidden its own threads an ioctl, on pain
// of being killed (SECCOMP_RET_KILL): so its filters are read and run on the call before it is made.
//
// Guardian process only: nothing here allocates.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>

#include "sources/guardian/tracing.h"

namespace vitrine::guardian {

enum class FilterVerdict : std::uint8_t { allowed, forbidden, unknown };

// What one filter answers for a call: a SECCOMP_RET_ value. A program that the kernel would not have taken: kill.
std::uint32_t run_filter(const struct sock_filter* program, std::size_t length, const struct seccomp_data& call);

// All filters of a stopped thread, for every one of `calls`. `room`: BPF_MAXINSNS instructions.
// unknown: the thread has filters and they cannot be read (CAP_SYS_ADMIN, CONFIG_CHECKPOINT_RESTORE).
FilterVerdict check_filters(const TracedThread& thread, pid_t monitor, const struct seccomp_data* calls,
                            std::size_t count, struct sock_filter* room);

}  // namespace vitrine::guardian
