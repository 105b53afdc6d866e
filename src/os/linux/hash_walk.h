// The kernel's hash tables: arrays of singly linked chains (hlist, hlist_nulls), and resizable ones (rhashtable). Every node of a table is
// visited once, whatever the links say.
//
//   HashWalk walk(space, budget);
//   walk.chains({.buckets = ehash, .count = mask + 1, .stride = 8, .link = skc_nulls_node, .nulls_base = 0}, visit);
//   walk.report().end ...
#pragma once

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "vitrine/base/function_ref.h"
#include "vitrine/base/walk.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

struct ChainTable {
    Gva buckets;               // the first bucket
    std::uint64_t count = 0;   // buckets
    std::uint64_t stride = 8;  // bytes from one bucket to the next
    std::uint64_t head = 0;    // of the pointer to the first node, in a bucket
    std::uint64_t link = 0;    // of the node in an object
    // Chains that end in a marker (hlist_nulls): that of bucket i is nulls_base + i. Without it chains end in null or in any marker.
    std::optional<std::uint64_t> nulls_base = std::nullopt;
};

// Members of the structures of rhashtable (include/linux/rhashtable-types.h, lib/rhashtable.c).
extern const NeedGroup kRhashtableNeeds;

class HashWalk {
public:
    using Visitor = FunctionRef<bool(Gva object)>;  // false: stop

    // The budget is that of all tables walked with this object together.
    HashWalk(const AddressSpace& space, WalkBudget budget) : space_(space), budget_(budget), deadline_(budget.time) {}

    // False: no table is to be walked any more (stopped, or the budget is used up).
    bool chains(const ChainTable& table, Visitor visit);
    // A struct rhashtable, its table that is being grown into included. `link`: of the rhash_head in an object.
    bool rhashtable(const Members& members, Gva table, std::uint64_t link, Visitor visit);

    // complete unless something was odd; the worst of all tables walked.
    [[nodiscard]] const WalkReport& report() const { return report_; }
    // What was odd, one line each; the first hundred.
    [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

    static constexpr std::uint64_t kMostBuckets =
        1u << 24;  // include/net/inet_hashtables.h has no bound; thash_entries= of 16 million

private:
    struct Chain {
        Gva bucket;                           // where the pointer to the first node is
        std::uint64_t first = 0;              // that pointer
        std::uint64_t link = 0;               // of the node in an object
        std::optional<std::uint64_t> marker;  // the word that must end it; none: null or any marker
        std::uint64_t lock_bits = 0;          // of the pointer at the bucket
    };
    enum class Step : std::uint8_t { ended, broken, stop };
    bool chain(const Chain& given, Visitor visit);
    Step follow(const Chain& one, std::unordered_set<Gva>& own, bool last_try, Visitor visit);
    bool bucket_table(const Members& members, Gva table, std::uint64_t link, Visitor visit);
    void problem(WalkEnd end, Gva where, const char* what);

    const AddressSpace& space_;
    WalkBudget budget_;
    Deadline deadline_;
    WalkReport report_;
    std::unordered_set<Gva> seen_;  // objects of the table that is being walked
    std::vector<std::string> problems_;
};

}  // namespace vitrine::linux_os
