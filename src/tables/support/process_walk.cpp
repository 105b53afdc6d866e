#include "tables/support/process_walk.h"

#include <fmt/format.h>

#include "os/linux/task_watch.h"
#include "tables/support/task_walk.h"

namespace vitrine::tables {
namespace {

using linux_os::TaskView;
using linux_os::TaskWatch;

// Holds what one process gives, until it is to be passed on or dropped. More than a process should have is passed on at once.
class OneProcess final : public RowSink {
public:
    OneProcess(RowSink& to, Warnings& warnings, bool hold, Deadline& deadline)
        : to_(to), warnings_(warnings), deadline_(deadline), hold_(hold) {}

    bool row(std::span<const Value> values) override {
        // One process of a hostile guest may have rows without end, each of them dear.
        if (deadline_.passed_now()) out_of_time_ = true;
        if (out_of_time_) return false;
        if (!hold_) return going_ && (going_ = to_.row(values));
        // The memory of rows that were passed on serves again.
        if (count_ < rows_.size()) rows_[count_].assign(values.begin(), values.end());
        else rows_.emplace_back(values.begin(), values.end());
        if (++count_ >= kMost) {
            gave_early_ = true;
            return pass_on();
        }
        return going_;
    }
    void diagnostic(Diagnostic diagnostic) override {
        if (told_.size() < kMost) told_.push_back(std::move(diagnostic));
    }
    void drop() {
        count_ = 0;
        if (rows_.size() > kMostKept) rows_.resize(kMostKept);
        told_.clear();
    }
    void begin() {
        drop();
        gave_early_ = false;
    }
    // Some of this process's rows were passed on before it was known that they hold: they cannot be dropped any more.
    [[nodiscard]] bool gave_early() const { return gave_early_; }
    [[nodiscard]] bool out_of_time() const { return out_of_time_; }
    [[nodiscard]] bool pass_on() {
        for (Diagnostic& diagnostic : told_) warnings_.tell(std::move(diagnostic.text), Gva{diagnostic.address});
        for (std::size_t i = 0; i < count_ && going_; ++i) going_ = to_.row(rows_[i]);
        drop();
        return going_;
    }
    [[nodiscard]] bool going() const { return going_; }

private:
    static constexpr std::size_t kMost = 16'384;
    static constexpr std::size_t kMostKept = 256;
    RowSink& to_;
    Warnings& warnings_;
    Deadline& deadline_;
    bool hold_;
    bool gave_early_ = false;
    bool out_of_time_ = false;
    bool going_ = true;
    std::vector<std::vector<Value>> rows_;  // the first count_ are held
    std::size_t count_ = 0;
    std::vector<Diagnostic> told_;
};

struct Walk {
    TaskWatch& watch;
    Warnings& warnings;
    ProcessVisitor visit;
    ProcessKept kept;

    // False: the sink wants no more.
    bool one(TaskKey key, OneProcess& rows) const {
        using Outcome = TaskWatch::Outcome;
        bool going = true;
        const auto outcome = watch.read(key, [&](const TaskView* task) {
            rows.begin();
            if (task != nullptr) going = visit(key, *task, rows);
            else if (!watch.runs())
                warnings.tell(fmt::format("pid {}: its task_struct cannot be read", key.tgid), key.address);
            return TaskWatch::Look{.last = rows.gave_early() || rows.out_of_time()};
        });
        if (outcome == Outcome::gone) {
            rows.drop();
            return rows.going();
        }
        if (outcome != Outcome::holds)
            warnings.tell(fmt::format("pid {}: changed each time while it was read", key.tgid), key.address);
        kept();
        return rows.pass_on() && going;
    }
};

}  // namespace

Result<WalkReport> for_each_process(LinuxGuest& guest, QueryContext& context, RowSink& sink, std::size_t pid_column,
                                    std::string_view table, ProcessVisitor visit, ProcessKept kept) {
    const auto pid = context.wanted_integer(pid_column);
    if (pid && !std::in_range<std::int32_t>(*pid)) return WalkReport{};
    const TaskSnapshot snapshot = pid ? guest.process(static_cast<std::int32_t>(*pid), context.budget)
                                      : guest.processes(context.budget);
    TaskWatch watch(guest, snapshot.tasks, linux_os::FieldId::task_tasks);
    Warnings warnings(sink, table);
    Deadline deadline(context.budget.time);
    OneProcess rows(sink, warnings, watch.runs(), deadline);
    const Walk walk{watch, warnings, visit, kept};
    WalkReport report = for_each_task(snapshot, deadline, [&](const TaskKey& key) { return walk.one(key, rows); });
    if (report.end == WalkEnd::stopped && rows.out_of_time()) report.end = WalkEnd::budget;
    return report;
}

}  // namespace vitrine::tables
