// Single mappings of a process, asked for by address: a QEMU has hundreds, of which a few are its guest's memory.
#include <sys/ioctl.h>
#include <unistd.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "sources/host/maps.h"

namespace vitrine {
namespace {

// struct procmap_query of include/uapi/linux/fs.h; older headers lack it. Linux commit ed5d583a88a9 "fs/procfs: implement efficient VMA
// querying API for /proc/<pid>/maps" (6.11)
struct Query {
    std::uint64_t size = sizeof(Query);
    std::uint64_t flags = 0;
    std::uint64_t address = 0;
    std::uint64_t vma_start = 0, vma_end = 0, vma_flags = 0, vma_page_size = 0, vma_offset = 0;
    std::uint64_t inode = 0;
    std::uint32_t device_major = 0, device_minor = 0;
    std::uint32_t name_size = 0, build_id_size = 0;
    std::uint64_t name_address = 0, build_id_address = 0;
};
static_assert(sizeof(Query) == 104);
constexpr unsigned long kQuery = _IOWR('f', 17, Query);
constexpr std::uint64_t kReadable = 0x1, kWritable = 0x2, kExecutable = 0x4, kShared = 0x8;

HostMapping to_mapping(const Query& found) {
    HostMapping mapping;
    mapping.start = found.vma_start;
    mapping.end = found.vma_end;
    mapping.readable = (found.vma_flags & kReadable) != 0;
    mapping.writable = (found.vma_flags & kWritable) != 0;
    mapping.executable = (found.vma_flags & kExecutable) != 0;
    mapping.shared = (found.vma_flags & kShared) != 0;
    mapping.file_offset = found.vma_offset;
    mapping.device_major = found.device_major;
    mapping.device_minor = found.device_minor;
    mapping.inode = found.inode;
    return mapping;
}

// False: this kernel cannot be asked, or will not say.
bool ask(int maps, const HostMapping& place, std::vector<HostMapping>& found) {
    for (std::uint64_t at = place.start; at < place.end;) {
        Query query;
        query.address = at;
        if (::ioctl(maps, kQuery, &query) != 0) {
            if (errno == EINTR) continue;
            return errno == ENOENT;  // nothing is mapped there
        }
        if (query.vma_start > at || query.vma_end <= at) return false;
        found.push_back(to_mapping(query));
        at = query.vma_end;
    }
    return true;
}

}  // namespace

Result<std::vector<HostMapping>> read_maps_at(const HostProcess& process, std::span<const HostMapping> places) {
    const UniqueFd maps(::open(process.path("maps").c_str(), O_RDONLY | O_CLOEXEC));
    std::vector<HostMapping> found;
    const bool known = maps && std::all_of(places.begin(), places.end(),
                                           [&](const HostMapping& place) { return ask(maps.get(), place, found); });
    // Reading all of them also says what is wrong where something is.
    if (!known) return read_maps(process);
    const auto begins_before = [](const HostMapping& a, const HostMapping& b) { return a.start < b.start; };
    std::sort(found.begin(), found.end(), begins_before);
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

}  // namespace vitrine
