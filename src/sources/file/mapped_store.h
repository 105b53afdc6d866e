// Guest RAM kept in files (images on disk, memfd, /dev/shm, hugetlbfs) and mapped read-only into this process.
//
//   std::vector<FilePiece> pieces;
//   pieces.push_back({UniqueFd(fd), 0, size});
//   auto store = VITRINE_TRY(MappedStore::make(std::move(pieces), AccessMethod::image));
//
// Looking never makes the host allocate memory. Touching a hole of a shared mapping allocates a page, so a page is touched
// only once it is known to hold data (SEEK_DATA); everything else is read with pread, which allocates nothing, or is
// known to be zeros. On hugetlbfs, which does not tell its holes, a page is known after non-zero bytes were read from it.
// What is known holds for a generation: new_generation() sees any hole that was punched before it, whatever else the guest
// took meanwhile. A hole that is punched and looked at within one generation may be filled.
//
// Files may shrink or fail while they are read: reads then fail (stale, io), the process lives on (see fault_guard.h).
// Thread safety: read, read_strided and populated may run in several threads at a time; new_generation may not beside them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "sources/file/fault_guard.h"
#include "vitrine/memory/ram_store.h"

struct stat;

namespace vitrine {

// The bytes [file_offset, file_offset + size) of an open file; without a file: zeros. Pieces follow each other in the
// store; file_offset and all sizes but the last are multiples of 4 KiB.
struct FilePiece {
    UniqueFd fd;
    std::uint64_t file_offset = 0;
    std::uint64_t size = 0;
};

class MappedStore final : public RamStore {
public:
    // Errors: usage (alignment, no bytes), stale (a file is shorter than its piece), io.
    static Result<std::shared_ptr<MappedStore>> make(std::vector<FilePiece> pieces, AccessMethod method);
    ~MappedStore() override;

    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] AccessMethod method() const override { return method_; }
    Result<void> read(std::span<StoreReadOp> ops) override;
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override;
    Result<void> read_strided(std::uint64_t offset, std::uint64_t stride, std::uint32_t width, std::size_t count,
                              std::span<std::byte> out) override;
    // Learns anew where the holes are, as far as pages were given back since, and whether the files are still whole.
    void new_generation() override;
    [[nodiscard]] Mapping mapping() const override;

    // stale: a file is shorter than it was. One system call a piece.
    Result<void> check_files() const;

private:
    enum class Holes : std::uint8_t {
        none,     // every page may be touched: a file system without holes, a block device
        seek,     // the file system answers SEEK_DATA and SEEK_HOLE, at little cost however long the run of data
        walk,     // so does tmpfs, but it visits every page of the run
        unknown,  // hugetlbfs: says that everything is data
        all,      // no file: zeros
    };
    // What tells that a file gave pages back. It may have taken others meanwhile, so that the number of blocks proves nothing;
    // but tmpfs notes the time of each hole that is punched (and of pages taken: a guest at rest costs nothing anew).
    struct Holding {
        std::uint64_t blocks = 0;
        std::int64_t changed_ns = 0;  // st_ctim
        bool is_fresh = false;        // changed so lately that another change may bear the same time
    };
    struct Piece {
        UniqueFd fd;
        std::uint64_t file_offset = 0;
        std::uint64_t start = 0;  // in the store
        std::uint64_t size = 0;
        std::uint64_t granule = kPageSize;  // size of the pages that hold it
        Holding holding{};                  // when last looked at
        Holes holes = Holes::seek;
        bool mapped = false;
        FaultGuard guard{};

        [[nodiscard]] std::uint64_t end() const { return start + size; }
    };
    enum class Content : std::uint8_t { zeros, data, unknown };
    struct Run {
        std::uint64_t end = 0;  // in the store
        Content content = Content::unknown;
    };

    MappedStore(std::vector<Piece> pieces, std::uint64_t size, AccessMethod method);
    static Result<Piece> open_piece(FilePiece from, std::uint64_t start);
    [[nodiscard]] static Holding holding_of(const struct stat& status);
    [[nodiscard]] static bool may_have_new_holes(const Piece& piece, const Holding& now);
    void map_all();
    bool map_piece(const Piece& piece);
    void learn_dense(Piece& piece);
    [[nodiscard]] static bool is_whole(const Piece& piece);
    [[nodiscard]] const Piece& piece_at(std::uint64_t offset) const;
    [[nodiscard]] bool is_present(std::uint64_t page) const;
    void set_present(std::uint64_t start, std::uint64_t end);
    void clear_present(const Piece& piece);
    void learn_from(const Piece& piece, std::uint64_t offset, std::span<const std::byte> bytes);
    [[nodiscard]] std::uint64_t present_until(std::uint64_t offset, std::uint64_t end) const;
    Run look(const Piece& piece, std::uint64_t offset, std::uint64_t end);
    // Why it failed, if it did.
    using Failure = std::optional<Errc>;
    Failure read_one(std::uint64_t offset, std::span<std::byte> out);
    Failure read_piece(const Piece& piece, std::uint64_t offset, std::span<std::byte> out);
    Failure read_file(const Piece& piece, std::uint64_t offset, std::span<std::byte> out);
    bool copy_present(std::uint64_t offset, std::span<std::byte> out) const;
    void populated_in(const Piece& piece, std::uint64_t start, std::uint64_t end, std::vector<StoreRange>& found);
    [[nodiscard]] bool is_tainted() const { return tainted_.load(std::memory_order_relaxed) != 0; }

    struct Free {
        void operator()(void* p) const { ::free(p); }
    };

    std::vector<Piece> pieces_;
    std::uint64_t size_ = 0;
    AccessMethod method_;
    std::byte* base_ = nullptr;         // null: nothing is mapped
    std::byte* reservation_ = nullptr;  // what munmap takes
    std::size_t reserved_ = 0;
    std::unique_ptr<std::uint64_t[], Free> present_;  // from calloc: untouched parts of it cost no memory
    std::atomic<std::uint32_t> tainted_{0};
};

}  // namespace vitrine
