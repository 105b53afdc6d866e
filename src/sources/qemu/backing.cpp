#include "sources/qemu/backing.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sources/file/mapped_store.h"
#include "sources/host/open_files.h"
#include "sources/qemu/composite_store.h"
#include "sources/qemu/paged_store.h"
#include "vitrine/base/address.h"

namespace vitrine {
namespace {

// A part of a block that lies in one mapping.
struct Part {
    std::uint64_t start = 0;
    std::uint64_t size = 0;
    const HostMapping* mapping = nullptr;
};

Result<std::vector<Part>> parts_of(const RamBlock& block, const std::vector<HostMapping>& maps) {
    std::vector<Part> parts;
    const std::uint64_t end = block.host_start + block.size;
    std::uint64_t at = block.host_start;
    const auto missing = [&] {
        return Error::with_text(Errc::inconsistent, Origin::source,
                                fmt::format("the monitor's memory '{}' is not mapped at {:#x}", block.name, at));
    };
    if (end < at || at % kPageSize != 0) return missing();
    for (const HostMapping& m : maps) {
        if (m.end <= at || at >= end) continue;
        if (m.start > at || !m.readable) return missing();
        const std::uint64_t stop = std::min(end, m.end);
        parts.push_back({at, stop - at, &m});
        at = stop;
    }
    if (at < end) return missing();
    return parts;
}

// Collects the parts of the store in order; runs of shared files become one mapped store.
class Builder {
public:
    explicit Builder(const std::shared_ptr<const HostProcess>& process) : process_(process) {}

    Result<void> add(const Part& part);
    void watch(const Part& part);
    Result<Backing> finish();

private:
    void describe(const HostMapping& mapping);
    Result<void> add_shared(const Part& part);
    Result<void> add_private_file(const Part& part);
    Result<void> close_files();
    void add_pages(PagedStore::Source source) {
        stores_.push_back(std::make_shared<PagedStore>(process_, std::move(source)));
    }

    std::shared_ptr<const HostProcess> process_;
    std::vector<std::shared_ptr<RamStore>> stores_;
    std::vector<FilePiece> files_;
    Backing backing_;
};

void Builder::describe(const HostMapping& mapping) {
    const std::string text = describe_mapping(mapping);
    if (backing_.description.find(text) != std::string::npos) return;
    if (!backing_.description.empty()) backing_.description += "; ";
    backing_.description += text;
}

Result<void> Builder::close_files() {
    if (files_.empty()) return {};
    stores_.push_back(VITRINE_TRY(MappedStore::make(std::move(files_), AccessMethod::mapped)));
    files_.clear();
    return {};
}

Result<void> Builder::add_shared(const Part& part) {
    const HostMapping& m = *part.mapping;
    auto file = open_mapped_file(*process_, m);
    if (file) {
        files_.push_back({std::move(*file), m.file_offset + (part.start - m.start), part.size});
        return {};
    }
    if (file.error().code != Errc::not_found) return file.error();
    // QEMU's memory-backend-ram,share=on before 10.0: shared, and no descriptor is kept.
    backing_.notes.push_back(
        fmt::format("shared memory '{}' cannot be mapped ({}): pages that the monitor has not touched "
                    "itself cannot be read",
                    m.path, file.error().hint()));
    VITRINE_CHECK(close_files());
    add_pages({part.start, part.size, PagedStore::Absent::fault, {}, 0});
    return {};
}

Result<void> Builder::add_private_file(const Part& part) {
    const HostMapping& m = *part.mapping;
    VITRINE_CHECK(close_files());
    auto file = open_mapped_file(*process_, m);
    if (file) {
        add_pages({part.start, part.size, PagedStore::Absent::file, std::move(*file),
                   m.file_offset + (part.start - m.start)});
        return {};
    }
    if (file.error().code != Errc::not_found) return file.error();
    backing_.notes.push_back(
        fmt::format("the file '{}' under private memory cannot be opened ({}): pages that the guest has "
                    "not written cannot be read",
                    m.path, file.error().hint()));
    add_pages({part.start, part.size, PagedStore::Absent::fault, {}, 0});
    return {};
}

Result<void> Builder::add(const Part& part) {
    const HostMapping& m = *part.mapping;
    describe(m);
    if (m.is_file()) return m.shared ? add_shared(part) : add_private_file(part);
    VITRINE_CHECK(close_files());
    add_pages({part.start, part.size, PagedStore::Absent::zeros, {}, 0});
    return {};
}

void Builder::watch(const Part& part) {
    HostMapping cut = *part.mapping;
    cut.file_offset += part.start - cut.start;
    cut.start = part.start;
    cut.end = part.start + part.size;
    backing_.parts.push_back(std::move(cut));
}

Result<Backing> Builder::finish() {
    VITRINE_CHECK(close_files());
    if (stores_.size() == 1) backing_.store = stores_.front();
    else backing_.store = std::make_shared<CompositeStore>(std::move(stores_));
    return std::move(backing_);
}

}  // namespace

std::string describe_mapping(const HostMapping& mapping) {
    if (!mapping.is_file()) return "anonymous";
    constexpr std::string_view kDeleted = " (deleted)";
    std::string_view path = mapping.path;
    if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
    const std::string_view sharing = mapping.shared ? "shared" : "private";
    if (path.starts_with("/memfd:")) return fmt::format("memfd, {}", sharing);
    if (path == "/dev/zero") return "anonymous, shared";
    return fmt::format("file {}, {}", path, sharing);
}

bool are_still_mapped(const std::vector<HostMapping>& parts, const std::vector<HostMapping>& maps) {
    for (const HostMapping& part : parts) {
        std::uint64_t at = part.start;
        auto m = std::lower_bound(maps.begin(), maps.end(), at,
                                  [](const HostMapping& a, std::uint64_t start) { return a.end <= start; });
        for (; at < part.end && m != maps.end(); ++m) {
            const bool same = m->start <= at && m->readable && m->shared == part.shared && m->inode == part.inode &&
                              m->device_major == part.device_major && m->device_minor == part.device_minor;
            if (!same) return false;
            const bool continues = m->file_offset + (at - m->start) == part.file_offset + (at - part.start);
            if (part.is_file() && !continues) return false;
            at = m->end;
        }
        if (at < part.end) return false;
    }
    return true;
}

Result<Backing> make_backing(const std::shared_ptr<const HostProcess>& process, const std::vector<RamBlock>& blocks,
                             const std::vector<HostMapping>& maps) {
    if (blocks.empty()) return Error::make(Errc::usage, Origin::source, "no RAM blocks");
    Builder builder(process);
    for (const RamBlock& block : blocks) {
        const std::vector<Part> parts = VITRINE_TRY(parts_of(block, maps));
        for (std::size_t i = 0; i < parts.size();) {
            Part run = parts[i];
            builder.watch(parts[i]);
            // Policies and advice given for a part of a block split its mapping; it stays one piece of memory.
            for (++i; i < parts.size() && !run.mapping->is_file() && !parts[i].mapping->is_file(); ++i) {
                builder.watch(parts[i]);
                run.size += parts[i].size;
            }
            VITRINE_CHECK(builder.add(run));
        }
    }
    return builder.finish();
}

}  // namespace vitrine
