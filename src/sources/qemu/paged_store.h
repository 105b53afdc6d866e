// Guest RAM that lives in the monitor's own pages: anonymous memory, or a private mapping of a file. Pages that the
// monitor has never touched are not touched by looking, either: they read as zeros, or as the file under them.
// Thread safety: read, read_strided and populated may run in several threads at a time; new_generation may not beside them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "sources/host/page_map.h"
#include "sources/host/process_memory.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

class PagedStore final : public RamStore {
public:
    // What a page holds that the monitor has no memory for.
    enum class Absent : std::uint8_t {
        zeros,  // anonymous memory
        file,   // a private mapping: the file's bytes (a hole in it reads as zeros)
        fault,  // a shared mapping whose file is out of reach: not known
    };
    struct Source {
        std::uint64_t host_start = 0;  // page-aligned
        std::uint64_t size = 0;
        Absent absent = Absent::zeros;
        UniqueFd file;                  // for Absent::file
        std::uint64_t file_offset = 0;  // of host_start in it
    };

    // The process outlives the store.
    PagedStore(std::shared_ptr<const HostProcess> process, Source source);

    [[nodiscard]] std::uint64_t size() const override { return source_.size; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::copied; }
    Result<void> read(std::span<StoreReadOp> ops) override;
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override;
    void new_generation() override;

private:
    // What is known of 2 MiB of the mapping, until the guest has run on.
    enum class Chunk : std::uint8_t { unknown, all, none, mixed };
    struct Pending {
        ProcessReadOp op;
        std::size_t owner;  // index of the StoreReadOp that it is a part of
    };

    Chunk chunk_at(std::size_t index);
    [[nodiscard]] bool is_present(std::uint64_t page) const;
    void plan(StoreReadOp& op, std::size_t index, std::vector<Pending>& pending);
    // nullopt: filled.
    [[nodiscard]] std::optional<Errc> read_absent(std::uint64_t offset, std::span<std::byte> out) const;
    [[nodiscard]] std::vector<StoreRange> file_data(StoreRange within) const;

    std::shared_ptr<const HostProcess> process_;
    Source source_;
    ProcessMemory memory_;
    std::mutex mutex_;  // for what follows; not held while the process's memory is read
    PageMap page_map_;
    std::vector<Chunk> chunks_;
    std::vector<std::uint64_t> present_;  // bitmap of 4 KiB pages, valid for chunks that are mixed
};

}  // namespace vitrine
