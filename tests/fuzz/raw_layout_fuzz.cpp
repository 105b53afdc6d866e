// Layouts of raw files of any size and content: valid, no two alike, and reads through them land in the file.
//
// Input: the file's size in bytes (up to 64 GiB), then a seed from which the content and the reads are made.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "sources/file/raw_layout.h"

using namespace vitrine;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

// Each byte is a function of its offset; some 64 MiB pieces are zeros.
class MadeStore final : public RamStore {
public:
    MadeStore(std::uint64_t size, std::uint64_t seed) : size_(size), seed_(seed) {}
    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    [[nodiscard]] std::byte at(std::uint64_t offset) const {
        const bool zero = (seed_ >> (offset >> 26 & 63) & 1) != 0;
        return zero ? std::byte{0} : static_cast<std::byte>((offset * 0x9e3779b97f4a7c15 + seed_) >> 56);
    }
    Result<void> read(std::span<StoreReadOp> ops) override {
        for (StoreReadOp& op : ops) {
            check(op.offset <= size_ && size_ - op.offset >= op.out.size());  // nobody asks for what is not there
            for (std::size_t i = 0; i < op.out.size(); ++i) op.out[i] = at(op.offset + i);
            op.ok = true;
        }
        return {};
    }

private:
    std::uint64_t size_;
    std::uint64_t seed_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 24) return 0;
    std::uint64_t words[3];
    std::memcpy(words, data, sizeof words);
    const auto store = std::make_shared<MadeStore>(1 + words[0] % (64ull << 30), words[1]);
    const auto layouts = raw_layouts(*store);
    check(!layouts.empty());
    std::uint64_t random = words[2] | 1;
    for (std::size_t i = 0; i < layouts.size(); ++i) {
        check(layouts[i].validate(store->size()).has_value() && !layouts[i].certain);
        for (std::size_t k = 0; k < i; ++k)
            check(layouts[k].extents != layouts[i].extents && layouts[k].name != layouts[i].name);
        GuestMemory memory(store, layouts[i]);
        check(memory.total_size() == store->size());
        for (int n = 0; n < 20; ++n) {
            random = random * 6364136223846793005 + 1442695040888963407;
            const Gpa address{random >> 27 & 0x1f'ffff'ffff};
            std::byte out[40];
            const auto extent = std::find_if(layouts[i].extents.begin(), layouts[i].extents.end(),
                                             [&](const LayoutExtent& e) {
                                                 return address.value - e.start.value < e.size &&
                                                        e.size - (address.value - e.start.value) >= sizeof out;
                                             });
            const bool there = memory.read(address, out).has_value();
            check(there == (extent != layouts[i].extents.end()));
            if (there) check(out[7] == store->at(extent->offset + address.value - extent->start.value + 7));
        }
    }
    return 0;
}
