#include <gmock/gmock.h>

#include <algorithm>

#include "query/tree.h"

namespace vitrine::cli {
namespace {

using ::testing::ElementsAre;
using Row = std::tuple<std::int64_t, std::size_t, bool, TreePlace>;

std::vector<Row> arranged(const std::vector<TreeProcess>& processes) {
    std::vector<Row> rows;
    for (const TreeNode& node : arrange_tree(processes))
        rows.emplace_back(processes[node.index].pid, node.depth, node.last, node.place);
    return rows;
}

constexpr auto kNormal = TreePlace::normal;

TEST(Tree, ParentsBeforeChildrenSiblingsByPid) {
    EXPECT_THAT(arranged({{30, 1}, {1, 0}, {10, 1}, {11, 10}, {2, 0}}),
                ElementsAre(Row{1, 0, false, kNormal}, Row{10, 1, false, kNormal}, Row{11, 2, true, kNormal},
                            Row{30, 1, true, kNormal}, Row{2, 0, true, kNormal}));
}

TEST(Tree, OrphansComeAfterTheRest) {
    EXPECT_THAT(
        arranged({{5, 999}, {6, 5}, {1, 0}}),
        ElementsAre(Row{1, 0, true, kNormal}, Row{5, 0, true, TreePlace::orphan}, Row{6, 1, true, TreePlace::orphan}));
}

TEST(Tree, LoopsAreDrawnOnce) {
    const auto rows = arranged({{1, 0}, {20, 22}, {21, 20}, {22, 21}, {50, 21}, {7, 50}});
    EXPECT_THAT(rows, ElementsAre(Row{1, 0, true, kNormal}, Row{20, 0, true, TreePlace::in_loop},
                                  Row{21, 1, true, TreePlace::in_loop}, Row{22, 2, false, TreePlace::in_loop},
                                  Row{50, 2, true, TreePlace::in_loop}, Row{7, 3, true, TreePlace::in_loop}));
}

TEST(Tree, OwnParentIsARoot) { EXPECT_THAT(arranged({{3, 3}}), ElementsAre(Row{3, 0, true, kNormal})); }

TEST(Tree, OnePidTwice) {
    const auto rows = arranged({{1, 0}, {9, 1}, {9, 1}, {10, 9}, {4, 4}, {4, 4}});
    EXPECT_EQ(rows.size(), 6u);
}

// Whatever the parents are: each process exactly once, depth one more than the line it hangs from.
TEST(Tree, EveryProcessOnceWhateverTheParents) {
    std::uint64_t seed = 12345;
    const auto next = [&](std::uint64_t below) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::int64_t>((seed >> 33) % below);
    };
    for (int round = 0; round < 500; ++round) {
        std::vector<TreeProcess> processes;
        const auto count = static_cast<std::size_t>(next(40));
        for (std::size_t i = 0; i < count; ++i) processes.push_back({next(30), next(30)});
        const auto nodes = arrange_tree(processes);
        std::vector<bool> seen(count, false);
        std::size_t depth = 0;
        for (const TreeNode& node : nodes) {
            EXPECT_FALSE(seen[node.index]);
            seen[node.index] = true;
            EXPECT_LE(node.depth, depth + 1);
            depth = node.depth;
        }
        EXPECT_EQ(nodes.size(), count);
    }
}

// A very long chain of parents must neither overflow the stack nor take quadratic time.
TEST(Tree, LongChain) {
    std::vector<TreeProcess> processes;
    for (std::int64_t i = 1; i <= 200'000; ++i) processes.push_back({i, i - 1});
    const auto nodes = arrange_tree(processes);
    ASSERT_EQ(nodes.size(), 200'000u);
    EXPECT_EQ(nodes.back().depth, 199'999u);
    processes[0].parent = 200'000;  // and the same as one loop
    EXPECT_EQ(arrange_tree(processes).size(), 200'000u);
}

}  // namespace
}  // namespace vitrine::cli
