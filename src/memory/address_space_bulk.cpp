// AddressSpace: reads of many pages and of many pieces.
#include <algorithm>
#include <memory>
#include <optional>

#include "memory/page_walk.h"
#include "vitrine/memory/address_space.h"

namespace vitrine {
namespace {

constexpr std::uint64_t left_in_page(std::uint64_t address) { return kPageSize - address % kPageSize; }

}  // namespace

// How far a read got, and why no further.
struct AddressSpace::Outcome {
    std::size_t done = 0;
    std::optional<Error> error;
    bool source_gone = false;  // the error is not about this address
};

// Physical pieces of virtual reads, handed down together.
struct AddressSpace::Batch {
    static constexpr std::size_t kMax = 256;

    explicit Batch(PhysicalMemory& m) : memory(m) {}

    [[nodiscard]] bool full() const { return count == kMax; }

    void add(std::uint64_t physical, std::span<std::byte> out, VirtualReadOp* owner) {
        bytes += out.size();
        if (count > 0) {
            ReadOp& last = ops[count - 1];
            const bool continues = owners[count - 1] == owner && last.address.value + last.out.size() == physical &&
                                   last.out.data() + last.out.size() == out.data();
            if (continues) {
                last.out = std::span(last.out.data(), last.out.size() + out.size());
                return;
            }
        }
        std::construct_at(ops.data() + count, ReadOp{Gpa{physical}, out});
        owners[count] = owner;
        ++count;
    }
    Result<void> flush() {
        const auto batch = std::span(ops).first(count);
        count = 0;
        if (batch.empty()) return {};
        VITRINE_CHECK(memory.read(batch));
        for (std::size_t i = 0; i < batch.size(); ++i) {
            VirtualReadOp* owner = owners[i];
            if (owner == nullptr || batch[i].ok || !owner->ok) continue;
            owner->ok = false;
            owner->status = batch[i].status;
        }
        return {};
    }

    PhysicalMemory& memory;
    std::size_t count = 0;
    std::size_t bytes = 0;  // queued since the batch was made
    // Only the first `count` are ever made: to clear all of them would cost more than most reads.
    union {
        std::array<ReadOp, kMax> ops;
    };
    std::array<VirtualReadOp*, kMax> owners;
};

Result<void> AddressSpace::read_across(Gva address, std::span<std::byte> out) const {
    Outcome outcome = transfer(address, out);
    if (!outcome.error) return {};
    return std::move(*outcome.error);
}

Result<std::size_t> AddressSpace::read_prefix(Gva address, std::span<std::byte> out) const {
    Outcome outcome = transfer(address, out);
    if (outcome.source_gone) return std::move(*outcome.error);
    return outcome.done;
}

// Fills the batch with what follows the first `skip` bytes; returns why it could not go on to the end or to a full batch, if it could not.
std::optional<Error> AddressSpace::fill(Batch& batch, Gva address, std::size_t skip, std::span<std::byte> out,
                                        VirtualReadOp* owner) const {
    std::uint64_t at = address.value + skip;
    out = out.subspan(skip);
    while (!out.empty() && !batch.full()) {
        if (at < address.value)
            return Error::make_at(Errc::out_of_range, Origin::translate, at, "read past the last address");
        auto entry = entry_for(Gva{at});
        if (!entry) return walk::failed_at(at, entry.error());
        const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(left_in_page(at), out.size()));
        batch.add(entry->frame + at % kPageSize, out.first(take), owner);
        out = out.subspan(take);
        at += take;
    }
    return std::nullopt;
}

// Reads page by page what is physically contiguous in one piece, many pieces in one call.
AddressSpace::Outcome AddressSpace::transfer(Gva address, std::span<std::byte> out) const {
    check_generation();
    Outcome outcome;
    Batch batch(*memory_);
    while (outcome.done < out.size() && !outcome.error) {
        std::optional<Error> stop = fill(batch, address, outcome.done, out, nullptr);
        const std::size_t pieces = batch.count;
        if (auto flushed = batch.flush(); !flushed) {
            return {outcome.done, std::move(flushed).error(), true};
        }
        for (std::size_t i = 0; i < pieces && !outcome.error; ++i) {
            const ReadOp& op = batch.ops[i];
            outcome.done += op.ok ? op.out.size() : salvage(op);
            if (!op.ok)
                outcome.error = Error::make_at(op.status, Origin::source, address.value + outcome.done, "virtual read");
        }
        if (!outcome.error && stop) {
            outcome.source_gone = stop->code == Errc::stale || stop->code == Errc::permission;
            outcome.error = std::move(stop);
        }
    }
    return outcome;
}

// How much of a failed piece can be read, page by page.
std::size_t AddressSpace::salvage(const ReadOp& failed) const {
    std::size_t done = 0;
    while (done < failed.out.size()) {
        const Gpa at = failed.address.wrap_plus(done);
        const auto take = static_cast<std::size_t>(
            std::min<std::uint64_t>(left_in_page(at.value), failed.out.size() - done));
        if (!memory_->read(at, failed.out.subspan(done, take))) break;
        done += take;
    }
    return done;
}

Result<void> AddressSpace::read_batch(std::span<VirtualReadOp> ops) const {
    check_generation();
    Batch batch(*memory_);
    for (VirtualReadOp& op : ops) {
        op.ok = true;
        if (const std::byte* host = find(op.address, op.out.size()); host != nullptr && copy_from(host, op.out))
            continue;
        std::size_t queued = 0;
        while (queued < op.out.size() && op.ok) {
            if (batch.full()) VITRINE_CHECK(batch.flush());
            const std::size_t before = batch.bytes;
            if (auto stop = fill(batch, op.address, queued, op.out, &op)) {
                op.ok = false;
                op.status = stop->code;
            }
            queued += batch.bytes - before;
        }
    }
    return batch.flush();
}

}  // namespace vitrine
