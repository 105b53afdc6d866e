#include "vitrine/memory/ram_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace vitrine {
namespace {

constexpr std::uint64_t kFourGiB = std::uint64_t{1} << 32;
constexpr std::size_t kChunk = std::size_t{1} << 20;
// From this stride on, single pieces are cheaper than reading everything between them.
constexpr std::uint64_t kSparseStride = 32 * 1024;

struct Strided {
    std::uint64_t offset;
    std::uint64_t stride;
    std::uint32_t width;
    std::size_t count;
    std::span<std::byte> out;

    [[nodiscard]] std::uint64_t at(std::size_t i) const { return offset + i * stride; }
    [[nodiscard]] std::span<std::byte> piece(std::size_t i) const { return out.subspan(i * width, width); }
};

Result<void> read_pieces(RamStore& store, const Strided& want, std::size_t first, std::size_t end) {
    constexpr std::size_t kBatch = 256;
    std::array<StoreReadOp, kBatch> ops;
    while (first < end) {
        const std::size_t batch = std::min(kBatch, end - first);
        for (std::size_t i = 0; i < batch; ++i) ops[i] = StoreReadOp{want.at(first + i), want.piece(first + i)};
        VITRINE_CHECK(store.read(std::span(ops).first(batch)));
        for (std::size_t i = 0; i < batch; ++i) {
            if (!ops[i].ok) std::memset(ops[i].out.data(), 0, want.width);
        }
        first += batch;
    }
    return {};
}

// Reads pieces [first, end) by reading all bytes from the first to the last of them, chunk by chunk.
Result<void> read_chunks(RamStore& store, const Strided& want, std::size_t first, std::size_t end,
                         std::vector<std::byte>& buffer) {
    const std::size_t per_chunk = std::max<std::size_t>(1, kChunk / static_cast<std::size_t>(want.stride));
    while (first < end) {
        const std::size_t take = std::min(per_chunk, end - first);
        const std::size_t bytes = (take - 1) * static_cast<std::size_t>(want.stride) + want.width;
        buffer.resize(std::max(buffer.size(), bytes));
        StoreReadOp op{want.at(first), std::span(buffer).first(bytes)};
        VITRINE_CHECK(store.read(std::span<StoreReadOp>(&op, 1)));
        if (op.ok) {
            for (std::size_t i = 0; i < take; ++i) {
                std::memcpy(want.piece(first + i).data(), buffer.data() + i * want.stride, want.width);
            }
        } else {
            VITRINE_CHECK(read_pieces(store, want, first, first + take));
        }
        first += take;
    }
    return {};
}

}  // namespace

Result<void> RamStore::read_strided(std::uint64_t offset, std::uint64_t stride, std::uint32_t width, std::size_t count,
                                    std::span<std::byte> out) {
    if (width == 0 || count == 0) return {};
    std::uint64_t span_size = 0;
    if (width > stride || out.size() / width < count || __builtin_mul_overflow(stride, count - 1, &span_size) ||
        __builtin_add_overflow(span_size, width, &span_size) || span_size > ~offset) {
        return Error::make(Errc::usage, Origin::source, "strided read");
    }
    const Strided want{offset, stride, width, count, out};
    std::memset(out.data(), 0, width * count);
    if (offset >= size()) return {};
    std::vector<std::byte> buffer;
    std::size_t next = 0;  // pieces before this one are done: one piece may touch two populated parts
    for (const StoreRange& part : populated({offset, std::min(span_size, size() - offset)})) {
        const std::uint64_t from = part.offset - offset;
        const std::uint64_t to = from + part.size;
        const std::uint64_t skip = from < width ? 0
                                                : (from - width) / stride + 1;  // first piece that ends after `from`
        const std::size_t first = std::max(next, static_cast<std::size_t>(skip));
        const std::size_t end = static_cast<std::size_t>(std::min<std::uint64_t>(count, (to + stride - 1) / stride));
        if (first >= end) continue;
        if (stride >= kSparseStride) VITRINE_CHECK(read_pieces(*this, want, first, end));
        else VITRINE_CHECK(read_chunks(*this, want, first, end, buffer));
        next = end;
    }
    return {};
}

MemoryLayout MemoryLayout::with_hole(std::uint64_t store_size, std::uint64_t hole_start, std::string name) {
    MemoryLayout layout;
    layout.name = std::move(name);
    const std::uint64_t below = std::min(store_size, hole_start);
    if (below > 0) layout.extents.push_back({Gpa{0}, below, 0});
    if (store_size > below) layout.extents.push_back({Gpa{kFourGiB}, store_size - below, below});
    return layout;
}

Result<void> MemoryLayout::validate(std::uint64_t store_size) const {
    const auto refuse = [&](std::string_view why) {
        return Error::with_text(Errc::malformed, Origin::source, fmt::format("memory layout \"{}\": {}", name, why));
    };
    if (extents.empty()) return refuse("no memory in it");
    std::uint64_t free_from = 0;
    for (const LayoutExtent& extent : extents) {
        if (extent.size == 0) return refuse("an empty range");
        if (extent.start.value < free_from) return refuse("ranges overlap or are out of order");
        if (__builtin_add_overflow(extent.start.value, extent.size, &free_from))
            return refuse("a range ends above 2^64");
        if (extent.offset > store_size || store_size - extent.offset < extent.size) {
            return refuse("a range lies outside the stored bytes");
        }
    }
    return {};
}

}  // namespace vitrine
