// Lists of the kernel as typed objects.
#include "vitrine/guest/object_list.h"

#include <cstring>

#include "support/guest_test_support.h"
#include "support/vector_store.h"

namespace vitrine::test {
namespace {

class ObjectList : public ::testing::Test {
protected:
    void SetUp() override {
        auto attached = attach(made_.machine_over(store_, made_.vcpus()));
        ASSERT_TRUE(attached) << attached.error().to_string();
        guest_ = std::move(*attached);
        const auto idle = guest_->variable("init_task", "task_struct");
        ASSERT_TRUE(idle) << idle.error().to_string();
        idle_ = *idle;
        head_ = idle_.member("tasks").value();
    }
    Result<WalkReport> walk(const Object& head, std::string_view type, std::string_view link, WalkBudget budget = {}) {
        pids_.clear();
        return for_each_in_list(*guest_, head, type, link, budget, [&](const Object& task) {
            const auto pid = task.member("pid");
            pids_.push_back(pid ? pid->as_signed().value_or(-1) : -1);
            return pids_.size() < most_;
        });
    }
    WalkEnd end() { return walk(head_, "task_struct", "tasks").value().end; }
    // A list_head of the guest, overwritten.
    void link(const Object& task, std::string_view member, Gva to) {
        const auto at = task.member(member).value().address();
        ASSERT_TRUE(at);
        std::memcpy(store_->bytes.data() + made_.physical(*at).value, &to.value, sizeof to.value);
        guest_->new_generation();
    }

    SyntheticGuest made_{GuestDescription{}};
    std::shared_ptr<vitrine::testing::VectorStore> store_ = std::make_shared<vitrine::testing::VectorStore>(
        made_.ram.flat());
    std::unique_ptr<Guest> guest_;
    Object idle_, head_;
    std::vector<std::int64_t> pids_;
    std::size_t most_ = SIZE_MAX;
};

TEST_F(ObjectList, EveryTaskInTheKernelsOrder) {
    const auto report = walk(head_, "task_struct", "tasks");
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->end, WalkEnd::complete);
    std::vector<std::int64_t> expected;
    for (const TaskKey& task : guest_->as_linux()->processes().tasks) expected.push_back(task.pid);
    EXPECT_EQ(pids_, expected);
    EXPECT_EQ(report->nodes, expected.size());
    EXPECT_GE(expected.size(), 7u);
}

TEST_F(ObjectList, StopsWhenToldAndWhenTheBudgetIsUsedUp) {
    most_ = 2;
    EXPECT_EQ(end(), WalkEnd::stopped);
    EXPECT_EQ(pids_.size(), 2u);
    most_ = SIZE_MAX;
    WalkBudget budget;
    budget.nodes = 3;
    EXPECT_EQ(walk(head_, "task_struct", "tasks", budget)->end, WalkEnd::budget);
    EXPECT_EQ(pids_.size(), 3u);
}

TEST_F(ObjectList, SaysWhenTheListIsTorn) {
    const Object first = head_.member("next")->container_of("task_struct", "tasks").value();
    const Object second = first.member("tasks.next")->container_of("task_struct", "tasks").value();
    // A loop that leaves the head out.
    link(second, "tasks.next", first.member("tasks")->address().value());
    EXPECT_EQ(end(), WalkEnd::inconsistent);
    EXPECT_EQ(pids_.size(), 2u);
    link(second, "tasks.next", Gva{8});
    EXPECT_EQ(end(), WalkEnd::fault);
}

TEST_F(ObjectList, OnlyOfLists) {
    EXPECT_EQ(walk(idle_, "task_struct", "tasks").error().code, Errc::usage);
    EXPECT_EQ(walk(head_.member("next").value(), "task_struct", "tasks").error().code, Errc::usage);
    EXPECT_EQ(walk(Object(), "task_struct", "tasks").error().code, Errc::usage);
    EXPECT_EQ(walk(head_, "no_such_type", "tasks").error().code, Errc::not_found);
    EXPECT_EQ(walk(head_, "task_struct", "no_such_member").error().code, Errc::not_found);
}

}  // namespace
}  // namespace vitrine::test
