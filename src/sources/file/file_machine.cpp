#include "sources/file/file_machine.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/unique_fd.h"
#include "sources/file/elf_core.h"
#include "sources/file/file_bytes.h"
#include "sources/file/known_formats.h"
#include "sources/file/mapped_store.h"
#include "sources/file/raw_layout.h"
#include "sources/recorded/recorded_machine.h"

namespace vitrine {
namespace {

constexpr std::uint64_t kSmallest = 1u << 20;
// Zeros that are in a core's memory and not in its file are kept once, and seen many times.
constexpr std::uint64_t kZeroPiece = std::uint64_t{1} << 30;
constexpr std::size_t kMaxZeroExtents = 1u << 16;

class NoteRegisters final : public VcpuRegisters {
public:
    explicit NoteRegisters(std::vector<VcpuState> states) : states_(std::move(states)) {}
    Result<std::vector<VcpuState>> read_registers(RegisterSet) override { return states_; }
    [[nodiscard]] std::string_view route() const override { return "ELF notes"; }

private:
    std::vector<VcpuState> states_;
};

class FileMachine final : public Machine {
public:
    FileMachine(MachineInfo info, std::shared_ptr<MappedStore> store, std::vector<MemoryLayout> layouts,
                std::vector<VcpuState> vcpus)
        : info_(std::move(info)),
          store_(std::move(store)),
          layouts_(std::move(layouts)),
          memory_(store_, layouts_.front()) {
        if (!vcpus.empty()) registers_ = std::make_unique<NoteRegisters>(std::move(vcpus));
    }

    [[nodiscard]] const MachineInfo& info() const override { return info_; }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return layouts_; }
    [[nodiscard]] VcpuRegisters* registers() override { return registers_.get(); }
    Result<void> check_alive() override {
        auto whole = store_->check_files();
        if (whole) return {};
        return Error::with_text(whole.error().code, Origin::source,
                                fmt::format("{}: the file became shorter while it was read", info_.name));
    }

private:
    MachineInfo info_;
    std::shared_ptr<MappedStore> store_;
    std::vector<MemoryLayout> layouts_;
    GuestMemory memory_;
    std::unique_ptr<NoteRegisters> registers_;
};

Error refuse(Errc code, const std::string& path, std::string_view why, std::string_view hint) {
    return Error::with_text(code, Origin::source, fmt::format("{}: {}", path, why), std::string(hint));
}

Error cannot_open(const std::string& path, int error) {
    switch (error) {
        case ENOENT:
        case ENOTDIR:
            return refuse(Errc::not_found, path, "no such file",
                          "give the path of a memory image, or qemu:NAME for a running guest");
        case EACCES:
        case EPERM: return refuse(Errc::permission, path, "permission denied", "run as a user who may read the file");
        default: return refuse(Errc::io, path, std::strerror(error), "");
    }
}

struct OpenFile {
    UniqueFd fd;
    std::uint64_t size = 0;
};

Result<OpenFile> open_image(const std::string& path) {
    // A fifo would block the open until somebody writes.
    OpenFile file{UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), 0};
    if (!file.fd.is_open()) return cannot_open(path, errno);
    struct stat status = {};
    if (fstat(file.fd.get(), &status) != 0) return cannot_open(path, errno);
    if (S_ISDIR(status.st_mode)) return refuse(Errc::usage, path, "a directory", "give the memory image in it");
    if (S_ISBLK(status.st_mode)) {
        if (ioctl(file.fd.get(), BLKGETSIZE64, &file.size) != 0) return cannot_open(path, errno);
    } else if (S_ISREG(status.st_mode)) {
        file.size = static_cast<std::uint64_t>(status.st_size);
    } else {
        return refuse(Errc::usage, path, "not a regular file or block device", "copy the image into a file first");
    }
    if (file.size == 0) return refuse(Errc::usage, path, "the file is empty", "make the image again");
    return file;
}

bool copy_from_file(int fd, std::uint64_t offset, std::span<std::byte> out) {
    while (!out.empty()) {
        const ssize_t got = pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        out = out.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::size_t>(got);
    }
    return true;
}

MachineInfo info_for(const std::string& path, std::string kind) {
    MachineInfo info;
    info.kind = std::move(kind);
    const std::size_t slash = path.find_last_of('/');
    info.name = slash == std::string::npos ? path : path.substr(slash + 1);
    info.backend = "file";
    return info;
}

// The extents of a core in a store of the zeros (if there are any), then the file.
Result<MemoryLayout> core_layout(const ElfCore& core) {
    MemoryLayout layout{"ELF segments", core.in_file, true};
    if (core.zeros.empty()) return layout;
    for (LayoutExtent& extent : layout.extents) extent.offset += kZeroPiece;
    for (const MemoryRange& range : core.zeros) {
        for (std::uint64_t done = 0; done < range.size;) {
            if (layout.extents.size() - core.in_file.size() >= kMaxZeroExtents) {
                return Error::with_text(Errc::malformed, Origin::source,
                                        "damaged ELF core: too much memory that is not in the file");
            }
            const std::uint64_t take = std::min(kZeroPiece, range.size - done);
            layout.extents.push_back({Gpa{range.start.value + done}, take, 0});
            done += take;
        }
    }
    std::sort(layout.extents.begin(), layout.extents.end(),
              [](const LayoutExtent& a, const LayoutExtent& b) { return a.start < b.start; });
    return layout;
}

// A raw image that begins with the mark of another format, or is a damaged one of that? Only who made the file knows.
std::string or_raw(const std::string& path, std::string_view hint) {
    return fmt::format("{}{}if it is raw memory that only begins like that: raw:{}", hint, hint.empty() ? "" : "; ",
                       path);
}

Result<std::unique_ptr<Machine>> open_core(const std::string& path, OpenFile file) {
    const int fd = file.fd.get();
    const auto copy = [fd](std::uint64_t offset, std::span<std::byte> out) { return copy_from_file(fd, offset, out); };
    auto parsed = parse_elf_core({file.size, copy});
    if (!parsed)
        return refuse(parsed.error().code, path, parsed.error().to_string(), or_raw(path, parsed.error().hint()));
    ElfCore core = std::move(*parsed);
    std::vector<FilePiece> pieces;
    if (!core.zeros.empty()) pieces.push_back({UniqueFd(), 0, kZeroPiece});
    pieces.push_back({std::move(file.fd), 0, file.size});
    auto layout = core_layout(core);
    if (!layout)
        return refuse(layout.error().code, path, layout.error().to_string(), or_raw(path, "make the dump again"));
    auto store = VITRINE_TRY(MappedStore::make(std::move(pieces), AccessMethod::image));
    VITRINE_CHECK(layout->validate(store->size()));
    MachineInfo info = info_for(path, "ELF core");
    info.notes = std::move(core.remarks);
    if (core.vcpus.empty()) info.notes.push_back("no notes of QEMU with control registers in the core");
    std::vector<MemoryLayout> layouts;
    layouts.push_back(std::move(*layout));
    return std::make_unique<FileMachine>(std::move(info), std::move(store), std::move(layouts), std::move(core.vcpus));
}

Result<std::unique_ptr<Machine>> open_recording(const std::string& path, OpenFile file) {
    if (file.size > kMostRecordingBytes) return refuse(Errc::malformed, path, "larger than a recording can be", "");
    LargeBuffer bytes(static_cast<std::size_t>(file.size));
    if (bytes.size() != file.size) return refuse(Errc::limit, path, "this host lacks the memory to read it", "");
    if (!copy_from_file(file.fd.get(), 0, bytes.span())) return refuse(Errc::io, path, "cannot be read", "");
    auto recording = parse_recording(bytes);
    if (!recording) {
        return refuse(recording.error().code, path, recording.error().to_string(),
                      or_raw(path, recording.error().hint()));
    }
    return make_recorded_machine(std::move(*recording), info_for(path, "recording"));
}

Result<std::unique_ptr<Machine>> open_raw(const std::string& path, OpenFile file) {
    if (file.size < kSmallest) {
        return refuse(Errc::usage, path, fmt::format("{} bytes are too few for a machine's memory", file.size),
                      "give a raw image of all RAM, or an ELF core");
    }
    std::vector<FilePiece> pieces;
    pieces.push_back({std::move(file.fd), 0, file.size});
    auto store = VITRINE_TRY(MappedStore::make(std::move(pieces), AccessMethod::image));
    auto layouts = raw_layouts(*store);
    return std::make_unique<FileMachine>(info_for(path, "raw image"), std::move(store), std::move(layouts),
                                         std::vector<VcpuState>{});
}

}  // namespace

Result<std::unique_ptr<Machine>> open_file_machine(const std::string& path) {
    OpenFile file = VITRINE_TRY(open_image(path));
    std::array<std::byte, kFormatHeadSize> buffer;
    const auto head = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), file.size));
    if (!copy_from_file(file.fd.get(), 0, head)) return refuse(Errc::io, path, "cannot be read", "");
    if (auto known = known_format(head)) {
        return refuse(Errc::unsupported, path, fmt::format("{}, which cannot be read as it is", known->name),
                      or_raw(path, known->hint));
    }
    if (has_recording_mark(head)) return open_recording(path, std::move(file));
    if (has_elf_magic(head)) return open_core(path, std::move(file));
    return open_raw(path, std::move(file));
}

Result<std::unique_ptr<Machine>> open_raw_machine(const std::string& path) {
    return open_raw(path, VITRINE_TRY(open_image(path)));
}

}  // namespace vitrine
