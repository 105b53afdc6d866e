// Recorder::save(): equal pages once, then the file in one step.
#include <fcntl.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unordered_map>

#include "base/unique_fd.h"
#include "sources/recorded/recorded_file.h"

namespace vitrine {
namespace {

// Numbers pages by what is in them. A guest can make pages with equal hashes, so bytes decide.
class Contents {
public:
    std::uint32_t number_of(std::span<const std::byte> page) {
        const std::uint64_t hash = XXH3_64bits(page.data(), page.size());
        const auto [begin, end] = known_.equal_range(hash);
        std::size_t looked = 0;
        for (auto it = begin; it != end && looked < kMostAlike; ++it, ++looked) {
            if (std::memcmp(at(it->second), page.data(), page.size()) == 0 && page.size() == kPageSize)
                return it->second;
        }
        const auto number = static_cast<std::uint32_t>(bytes_.size() / kPageSize);
        bytes_.insert(bytes_.end(), page.begin(), page.end());
        bytes_.resize((number + std::size_t{1}) * kPageSize);  // a shorter page ends in zeros
        known_.emplace(hash, number);
        return number;
    }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    static constexpr std::size_t kMostAlike = 8;
    [[nodiscard]] const std::byte* at(std::uint32_t number) const { return bytes_.data() + number * kPageSize; }

    std::vector<std::byte> bytes_;
    std::unordered_multimap<std::uint64_t, std::uint32_t> known_;
};

Error cannot_write(const std::string& path, int error) {
    const Errc code = error == EACCES || error == EPERM ? Errc::permission : Errc::io;
    return Error::with_text(code, Origin::user, fmt::format("{}: {}", path, std::strerror(error)));
}

bool write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t done = write(fd, bytes.data(), bytes.size());
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
    return true;
}

Error exists(const std::string& path) {
    return Error::with_text(Errc::usage, Origin::user, fmt::format("{} exists", path),
                            "give another name, or --force to replace it");
}

// 0, or errno.
int put_in_place(const std::string& temporary, const std::string& path, bool overwrite) {
    const unsigned flags = overwrite ? 0u : RENAME_NOREPLACE;
    if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), flags) == 0) return 0;
    // Network file systems know no such flag. A link does not replace either.
    if (errno != EINVAL || overwrite) return errno;
    if (link(temporary.c_str(), path.c_str()) != 0) return errno;
    unlink(temporary.c_str());
    return 0;
}

Result<void> write_file(const std::string& path, std::span<const std::byte> bytes, bool overwrite) {
    std::string temporary = path + ".XXXXXX";
    UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));  // readable by its owner only
    if (!fd) return cannot_write(path, errno);
    const bool written = write_all(fd.get(), bytes) && fsync(fd.get()) == 0;
    int error = written ? 0 : errno;
    if (close(fd.release()) != 0 && error == 0) error = errno;
    if (error == 0) error = put_in_place(temporary, path, overwrite);
    if (error == 0) return {};
    unlink(temporary.c_str());
    if (error == EEXIST) return exists(path);
    return cannot_write(path, error);
}

}  // namespace

Result<void> check_recording_path(const std::string& path, Recorder::SaveOptions options) {
    struct stat facts{};
    if (stat(path.c_str(), &facts) != 0) {
        if (errno == ENOENT) return {};
        return cannot_write(path, errno);
    }
    if (!S_ISREG(facts.st_mode))
        return Error::with_text(Errc::usage, Origin::user, fmt::format("{} is not a regular file", path));
    if (!options.overwrite) return exists(path);
    return {};
}

Result<RecordingSize> Recorder::save(const std::string& path, const MemoryLayout& layout, const RecordingFacts& facts,
                                     SaveOptions options) const {
    VITRINE_CHECK(check_recording_path(path, options));
    if (state_->store->is_full()) {
        return Error::with_text(Errc::limit, Origin::user, "more memory was read than a recording can hold (1 GiB)",
                                "record fewer tables");
    }
    const MachineInfo& info = state_->machine.info();
    // Both put every answer in doubt, those of a replay too.
    const std::string doubt = info.uncovered + (info.uncovered.empty() || info.unproven_order.empty() ? "" : "; ") +
                              info.unproven_order;
    RecordedIndex index{facts, info.kind, info.name, doubt, state_->store->size(), layout, state_->registers, {}};
    Contents contents;
    for (const RecordingStore::Page& page : state_->store->pages()) {
        RecordedPage recorded{page.place.offset, static_cast<std::uint16_t>(page.place.size), RecordedPage::kZeros};
        if (page.content == RecordingStore::Content::unreadable) recorded.content = RecordedPage::kUnreadable;
        if (page.content == RecordingStore::Content::bytes) recorded.content = contents.number_of(page.bytes);
        index.pages.push_back(recorded);
    }
    const auto bytes = VITRINE_TRY(
        write_recording(index, contents.bytes(), options.small ? Packing::small : Packing::fast));
    VITRINE_CHECK(write_file(path, bytes, options.overwrite));
    return RecordingSize{index.pages.size(), contents.bytes().size() / kPageSize, bytes.size()};
}

}  // namespace vitrine
