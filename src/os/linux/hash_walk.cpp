#include "os/linux/hash_walk.h"

#include <algorithm>
#include <array>
#include <bit>

#include <fmt/format.h>

#include "os/linux/member_reader.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kMostProblems = 100;
constexpr std::size_t kChunk = 64 * 1024;  // bytes of buckets read at once
constexpr std::uint64_t kLargestStride = 4096;
constexpr unsigned kTries = 3;        // of a chain that a running guest tears
constexpr unsigned kMostGrowing = 8;  // tables behind each other that an rhashtable grows into

enum RhashtableMember : std::size_t { kTbl, kSize, kNest, kFuture, kBuckets };

constexpr auto kRhashtableMembers = std::to_array<MemberNeed>({
    {"rhashtable", {"tbl"}, MemberShape::pointer},
    {"bucket_table", {"size"}, MemberShape::u32},
    {"bucket_table", {"nest"}, MemberShape::u32, false},
    {"bucket_table", {"future_tbl"}, MemberShape::pointer, false},
    {"bucket_table", {"buckets"}, MemberShape::array},
});

bool is_marker(std::uint64_t word) { return (word & 1) != 0; }

// The words at offset `head` of each bucket, read in large pieces; those that cannot be read are left out.
template <class Visit>
bool for_each_bucket(const AddressSpace& space, const ChainTable& table, const Visit& visit) {
    const std::uint64_t per_chunk = std::max<std::uint64_t>(kChunk / table.stride, 1);
    std::vector<std::byte> bytes;
    for (std::uint64_t first = 0; first < table.count; first += per_chunk) {
        const std::uint64_t count = std::min(per_chunk, table.count - first);
        const Gva at = table.buckets.wrap_plus(first * table.stride);
        bytes.resize(count * table.stride);
        const bool whole = space.read(at, bytes).has_value();
        for (std::uint64_t i = 0; i < count; ++i) {
            const Gva bucket = at.wrap_plus(i * table.stride);
            std::optional<std::uint64_t> word;
            if (whole) {
                word = load<std::uint64_t>(bytes.data() + i * table.stride + table.head);
            } else if (const auto read = space.read_value<std::uint64_t>(bucket.wrap_plus(table.head))) {
                word = *read;
            }
            if (!visit(first + i, bucket, word)) return false;
        }
    }
    return true;
}

}  // namespace

const NeedGroup kRhashtableNeeds{"resizable hash tables", kRhashtableMembers};

bool HashWalk::chains(const ChainTable& table, Visitor visit) {
    if (table.count == 0 || table.count > kMostBuckets || table.stride < 8 || table.stride > kLargestStride ||
        table.head > table.stride - 8) {
        problem(WalkEnd::inconsistent, table.buckets, "a hash table of impossible size");
        return true;
    }
    seen_.clear();
    std::uint64_t unread = 0;
    Gva first_unread;
    const bool going = for_each_bucket(
        space_, table, [&](std::uint64_t index, Gva bucket, std::optional<std::uint64_t> word) {
            if (deadline_.passed()) {
                problem(WalkEnd::budget, bucket, "no time is left for the rest of a hash table");
                return false;
            }
            if (!word) {
                if (unread++ == 0) first_unread = bucket;
                return true;
            }
            Chain one{bucket.wrap_plus(table.head), *word, table.link, std::nullopt, 0};
            // NULLS_MARKER, include/linux/list_nulls.h
            if (table.nulls_base) one.marker = 1 | (*table.nulls_base + index) << 1;
            return chain(one, visit);
        });
    if (unread != 0) problem(WalkEnd::fault, first_unread, "buckets of a hash table cannot be read, the first is here");
    return going;
}

// A running guest moves objects from chain to chain: one that ends in another's marker is walked again, as the kernel's own readers do.
bool HashWalk::chain(const Chain& given, Visitor visit) {
    Chain one = given;
    std::unordered_set<Gva> own;  // what it gave so far, in all tries
    for (unsigned attempt = 1;; ++attempt) {
        const Step step = follow(one, own, attempt == kTries, visit);
        if (step == Step::stop) return false;
        if (step == Step::ended || attempt == kTries) return true;
        space_.new_generation();
        const auto again = space_.read_value<std::uint64_t>(one.bucket);
        if (!again) return true;
        one.first = *again & ~one.lock_bits;
        if (one.first == 0 && one.lock_bits != 0) return true;
    }
}

HashWalk::Step HashWalk::follow(const Chain& one, std::unordered_set<Gva>& own, bool last_try, Visitor visit) {
    const auto broken = [&](WalkEnd end, Gva where, const char* what) {
        if (last_try) problem(end, where, what);
        return Step::broken;
    };
    std::unordered_set<Gva> passed;
    std::uint64_t word = one.first;
    while (word != 0 && !is_marker(word)) {
        const Gva node{word};
        const Gva object = node.wrap_minus(one.link);
        if (report_.nodes >= budget_.nodes || deadline_.passed()) {
            problem(WalkEnd::budget, node, "there are more entries in hash tables than may be read");
            return Step::stop;
        }
        const auto next = space_.read_value<std::uint64_t>(node);
        if (!next) return broken(WalkEnd::fault, node, "an entry of a hash table cannot be read");
        if (!passed.insert(object).second)
            return broken(WalkEnd::cycle, node, "a chain of a hash table comes back to itself");
        if (seen_.insert(object).second) {
            own.insert(object);
            ++report_.nodes;
            if (!visit(object)) {
                report_.end = WalkEnd::stopped;
                return Step::stop;
            }
        } else if (!own.contains(object)) {
            // Followed on, a tail that all chains share would be walked once for each of them.
            return broken(WalkEnd::inconsistent, node, "a chain of a hash table runs into another one");
        }
        word = *next;
    }
    if (one.marker && word != *one.marker)
        return broken(WalkEnd::inconsistent, one.bucket, "a chain of a hash table does not end in its own marker");
    return Step::ended;
}

bool HashWalk::rhashtable(const Members& members, Gva table, std::uint64_t link, Visitor visit) {
    const MemberReader read(space_, members);
    auto at = read.pointer(table, kTbl);
    if (!at) problem(WalkEnd::fault, table, "a resizable hash table cannot be read");
    std::vector<Gva> walked;
    seen_.clear();
    while (at && !at->is_null()) {
        if (std::find(walked.begin(), walked.end(), *at) != walked.end() || walked.size() == kMostGrowing) {
            problem(WalkEnd::cycle, *at, "a resizable hash table grows without end");
            break;
        }
        walked.push_back(*at);
        if (!bucket_table(members, *at, link, visit)) return false;
        at = read.pointer(*at, kFuture);
    }
    return true;
}

bool HashWalk::bucket_table(const Members& members, Gva table, std::uint64_t link, Visitor visit) {
    const MemberReader read(space_, members);
    const auto size = read.number(table, kSize);
    if (!size) {
        problem(WalkEnd::fault, table, "a resizable hash table cannot be read");
        return true;
    }
    if (!std::has_single_bit(*size) || *size > kMostBuckets) {
        problem(WalkEnd::inconsistent, table, "a resizable hash table of impossible size");
        return true;
    }
    // Made of many pieces when memory was short (nested_table): rare, and not read.
    if (const auto nest = read.number(table, kNest); nest && *nest != 0) {
        problem(WalkEnd::inconsistent, table, "a resizable hash table is nested: its entries are not read");
        return true;
    }
    const ChainTable buckets{read.address(table, kBuckets), *size, 8, 0, link, std::nullopt};
    std::uint64_t unread = 0;
    const bool going = for_each_bucket(
        space_, buckets, [&](std::uint64_t, Gva bucket, std::optional<std::uint64_t> word) {
            if (deadline_.passed()) {
                problem(WalkEnd::budget, bucket, "no time is left for the rest of a hash table");
                return false;
            }
            if (!word) return ++unread != 0;
            // Bit 0 of a bucket's word is its lock; the chain ends in the bucket's address with bit 0 set (rht_ptr, RHT_NULLS_MARKER).
            const std::uint64_t first = *word & ~std::uint64_t{1};
            return first == 0 || chain({bucket, first, link, bucket.value | 1, 1}, visit);
        });
    if (unread != 0) problem(WalkEnd::fault, table, "buckets of a hash table cannot be read");
    return going;
}

void HashWalk::problem(WalkEnd end, Gva where, const char* what) {
    if (report_.end == WalkEnd::complete) {
        report_.end = end;
        report_.last_address = where.value;
    }
    if (problems_.size() < kMostProblems) problems_.push_back(fmt::format("{} (at {:#x})", what, where.value));
}

}  // namespace vitrine::linux_os
