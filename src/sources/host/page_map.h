// Which pages of another process have memory behind them, found out without touching them: a page that is read for the
// first time is allocated or mapped by that very read.
//
// Three routes: PAGEMAP_SCAN (Linux 6.7), the entries of /proc/PID/pagemap (same user, or root), and move_pages(2) as a
// query, which asks for nothing but CAP_SYS_PTRACE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "sources/host/process.h"

namespace vitrine {

struct HostRange {
    std::uint64_t start = 0;
    std::uint64_t size = 0;
    friend bool operator==(const HostRange&, const HostRange&) = default;
};

class PageMap {
public:
    // What counts as having memory: in a private mapping of a file the pages that still are the file's do not.
    enum class Counting : std::uint8_t { own_pages, all_pages };

    PageMap(const HostProcess& process, Counting counting);

    // Sets flags[i] for page i from start on: 1 if it must be read from the process (present there, swapped out, or not
    // known to be neither), 0 if the process has nothing there. False: no route answers; flags are untouched.
    bool look_up(std::uint64_t start, std::span<std::uint8_t> flags);
    // The same as merged runs within [start, start + size); nullopt: no route answers.
    std::optional<std::vector<HostRange>> ranges(std::uint64_t start, std::uint64_t size);

    // Things that are asked once and hold until the guest runs on.
    void new_generation() { swap_checked_ = false; }
    [[nodiscard]] std::string_view route() const;

private:
    bool read_entries(std::uint64_t start, std::span<std::uint8_t> flags) const;
    bool query_pages(std::uint64_t start, std::span<std::uint8_t> flags);
    std::optional<std::vector<HostRange>> scan(std::uint64_t start, std::uint64_t size) const;
    bool has_swapped_pages();

    pid_t pid_;
    Counting counting_;
    UniqueFd pagemap_;
    bool can_scan_ = false;
    bool swap_checked_ = false;
    bool swapped_ = false;
};

}  // namespace vitrine
