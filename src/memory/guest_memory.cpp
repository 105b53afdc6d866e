// GuestMemory: guest-physical reads cut along the layout's extents, straight from the mapping where there is one.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "vitrine/memory/ram_store.h"

namespace vitrine {

// Pieces of read operations on their way to the store: a fixed array, so that reading allocates nothing.
struct GuestMemory::Pieces {
    static constexpr std::size_t kMax = 512;

    explicit Pieces(GuestMemory& m) : memory(m) {}

    Result<void> add(ReadOp& op, std::uint64_t offset, std::span<std::byte> out) {
        if (count == kMax) VITRINE_CHECK(flush());
        ops[count] = StoreReadOp{offset, out};
        owners[count] = &op;
        ++count;
        return {};
    }
    Result<void> flush() {
        const std::size_t n = std::exchange(count, 0);
        if (n == 0) return {};
        auto outcome = memory.store_->read(std::span(ops).first(n));
        for (std::size_t i = 0; i < n; ++i) {
            if ((outcome && ops[i].ok) || !owners[i]->ok) continue;
            memory.note_refusal(owners[i]->address);
            owners[i]->ok = false;
            owners[i]->status = outcome ? ops[i].status : outcome.error().code;
        }
        return outcome;
    }

    GuestMemory& memory;
    std::size_t count = 0;
    std::array<StoreReadOp, kMax> ops;
    std::array<ReadOp*, kMax> owners;
};

GuestMemory::GuestMemory(std::shared_ptr<RamStore> store, MemoryLayout layout) : store_(std::move(store)) {
    set_layout(std::move(layout));
}

void GuestMemory::set_layout(MemoryLayout layout) {
    layout_ = std::move(layout);
    mapping_ = store_->mapping();
    last_extent_.store(0, std::memory_order_relaxed);
    ++generation_;
    ranges_.clear();
    for (std::size_t i = 0; i < layout_.extents.size(); ++i) {
        const LayoutExtent& extent = layout_.extents[i];
        if (i > 0) {
            const LayoutExtent& before = layout_.extents[i - 1];
            const bool continues = before.start.value + before.size == extent.start.value &&
                                   before.offset + before.size == extent.offset;
            if (continues) {
                ranges_.back().size += extent.size;
                continue;
            }
        }
        ranges_.push_back({extent.start, extent.size});
    }
}

void GuestMemory::new_generation() {
    store_->new_generation();
    mapping_ = store_->mapping();
    ++generation_;
}

bool GuestMemory::copy_mapped(std::uint64_t address, std::span<std::byte> out) const {
    const std::byte* from = resolve(address, out.size());
    if (from == nullptr) return false;
    std::memcpy(out.data(), from, out.size());
    return copy_is_good();
}

Result<void> GuestMemory::read(std::span<ReadOp> ops) {
    std::size_t i = 0;
    for (; i < ops.size(); ++i) {  // all of a batch is often in mapped pages: then no queue is needed
        ops[i].ok = copy_mapped(ops[i].address.value, ops[i].out);
        if (!ops[i].ok) break;
    }
    if (i == ops.size()) return {};
    if (ops.size() == 1) {
        ReadOp& op = ops[0];
        const LayoutExtent* extent = find_extent(op.address.value);
        const std::uint64_t inside = extent != nullptr ? op.address.value - extent->start.value : 0;
        if (extent != nullptr && extent->size - inside >= op.out.size()) {  // one piece: no queue either
            StoreReadOp piece{extent->offset + inside, op.out};
            VITRINE_CHECK(store_->read(std::span<StoreReadOp>(&piece, 1)));
            op.ok = piece.ok;
            op.status = piece.status;
            if (!op.ok) note_refusal(op.address);
            return {};
        }
    }
    Pieces pieces(*this);
    for (; i < ops.size(); ++i) {
        ReadOp& op = ops[i];
        op.ok = true;
        if (copy_mapped(op.address.value, op.out)) continue;
        std::span<std::byte> rest = op.out;
        std::uint64_t address = op.address.value;
        while (!rest.empty()) {
            const LayoutExtent* extent = find_extent(address);
            if (extent == nullptr) {
                op.ok = false;
                op.status = Errc::fault;
                break;
            }
            const std::uint64_t inside = address - extent->start.value;
            const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), extent->size - inside));
            VITRINE_CHECK(pieces.add(op, extent->offset + inside, rest.first(take)));
            rest = rest.subspan(take);
            address +=
                take;  // wraps to 0 only past the last byte of a range that ends below 2^64: then find_extent decides
        }
    }
    return pieces.flush();
}

std::vector<MemoryRange> GuestMemory::populated(MemoryRange within) {
    std::vector<MemoryRange> found;
    if (within.size == 0) return found;
    const std::uint64_t first = within.start.value;
    const std::uint64_t last = within.size - 1 > ~first ? ~std::uint64_t{0} : first + (within.size - 1);
    for (const LayoutExtent& extent : layout_.extents) {
        const std::uint64_t low = std::max(first, extent.start.value);
        const std::uint64_t high = std::min(last, extent.start.value + (extent.size - 1));
        if (low > high) continue;
        for (const StoreRange& part : store_->populated({extent.offset + (low - extent.start.value), high - low + 1})) {
            const std::uint64_t start = extent.start.value + (part.offset - extent.offset);
            if (!found.empty() && found.back().start.value + found.back().size == start) found.back().size += part.size;
            else found.push_back({Gpa{start}, part.size});
        }
    }
    return found;
}

Result<void> GuestMemory::read_strided(Gpa start, std::uint64_t stride, std::uint32_t width, std::size_t count,
                                       std::span<std::byte> out) {
    if (width == 0 || count == 0) return {};
    std::uint64_t last = 0;  // start of the last piece
    if (width > stride || out.size() / width < count || __builtin_mul_overflow(stride, count - 1, &last) ||
        __builtin_add_overflow(last, start.value, &last) || last > ~std::uint64_t{width}) {
        return Error::make(Errc::usage, Origin::source, "strided read");
    }
    std::memset(out.data(), 0, width * count);
    for (const LayoutExtent& extent : layout_.extents) {
        const std::uint64_t end = extent.start.value + extent.size;
        if (end <= start.value) continue;
        const std::uint64_t skip = extent.start.value > start.value ? extent.start.value - start.value : 0;
        std::uint64_t next = skip / stride +
                             (skip % stride != 0 ? 1 : 0);  // the first piece that starts in this extent
        if (next >= count) break;
        std::uint64_t begin = start.value + next * stride;
        if (begin >= end) continue;
        if (end - begin >= width) {
            const std::uint64_t take = std::min<std::uint64_t>((end - begin - width) / stride + 1, count - next);
            VITRINE_CHECK(store_->read_strided(extent.offset + (begin - extent.start.value), stride, width,
                                               static_cast<std::size_t>(take),
                                               out.subspan(next * width, take * width)));
            next += take;
            begin += take * stride;
        }
        if (next >= count || begin >= end) continue;
        // This one starts here and ends beyond: readable if the next extent touches this one.
        ReadOp op{Gpa{begin}, out.subspan(next * width, width)};
        VITRINE_CHECK(read(std::span<ReadOp>(&op, 1)));
        if (!op.ok) std::memset(op.out.data(), 0, width);
    }
    return {};
}

}  // namespace vitrine
