// Asks a guest for its processes in SQL, follows the kernel's own list of tasks through typed objects, and compares the two.
//
//   ask_and_walk qemu:NAME | qemu:PID | qmp:SOCKET | kvm:PID | FILE
#include <cstdio>
#include <optional>
#include <set>
#include <string>

#include "vitrine/base/text.h"
#include "vitrine/guest/object_list.h"
#include "vitrine/query/open_guest.h"
#include "vitrine/query/row_set.h"

namespace {

using namespace vitrine;  // of a short program

constexpr const char* kProcesses = "SELECT pid, name, uid, task FROM processes ORDER BY pid";

// What keeps an answer from being whole: tables that could not be read, lists torn by the running guest, unreadable values.
void show_doubts(const QueryReport& report) {
    if (report.complete()) return;
    for (const TableReading& reading : report.readings) {
        if (reading.failure)
            std::fprintf(stderr, "%s: %s\n", reading.table.c_str(), reading.failure->to_string().c_str());
        if (reading.walk.end != WalkEnd::complete) {
            std::fprintf(stderr, "%s: ended by %s\n", reading.table.c_str(),
                         std::string(to_string(reading.walk.end)).c_str());
        }
    }
    for (const Diagnostic& diagnostic : report.diagnostics) {
        std::fprintf(stderr, "%s: %s\n", diagnostic.table.c_str(), to_terminal_text(diagnostic.text).c_str());
    }
}

// Rows by name and type. Whoever runs in the guest chooses names of processes: none goes to a terminal as it is.
Result<std::set<Gva>> ask(Database& database) {
    const RowSet processes = VITRINE_TRY(database.query(kProcesses));
    std::set<Gva> tasks;
    for (const Row row : processes) {
        const auto pid = VITRINE_TRY(row.get<std::int32_t>("pid"));
        const auto name = VITRINE_TRY(row.get<std::string>("name"));
        const auto uid = VITRINE_TRY(row.get<std::optional<std::uint32_t>>("uid"));  // NULL: could not be read
        std::printf("%d\t%s\t%s\n", pid, uid ? std::to_string(*uid).c_str() : "?", to_terminal_text(name).c_str());
        tasks.insert(VITRINE_TRY(row.get<Gva>("task")));
    }
    show_doubts(processes.report());
    return tasks;
}

// One member after the other, as C has them; pointers are followed. Here: task->real_parent->comm.
Result<void> show_task(const Object& task) {
    const auto pid = VITRINE_TRY(task.get<std::int32_t>("pid"));
    const auto parent = VITRINE_TRY(task.get<std::string>("real_parent.comm"));
    std::printf("task %d is a child of %s\n", pid, to_terminal_text(parent).c_str());
    return {};
}

// The list that the kernel keeps, from init_task on: one step by hand, then all of it, bounded and checked.
Result<std::set<Gva>> walk(Guest& guest) {
    const Object idle = VITRINE_TRY(guest.variable("init_task", "task_struct"));
    const Object next = VITRINE_TRY(idle.member("tasks.next"));
    const Object first = VITRINE_TRY(next.container_of("task_struct", "tasks"));
    VITRINE_CHECK(show_task(first));

    std::set<Gva> tasks;
    const Object head = VITRINE_TRY(idle.member("tasks"));
    const WalkReport report = VITRINE_TRY(
        for_each_in_list(guest, head, "task_struct", "tasks", {}, [&](const Object& task) {
            if (const auto address = task.address()) tasks.insert(*address);
            return true;
        }));
    if (report.end != WalkEnd::complete)
        std::fprintf(stderr, "the list: %s\n", std::string(to_string(report.end)).c_str());
    return tasks;
}

Result<bool> run(const char* target) {
    const auto guest = VITRINE_TRY(open_guest(target));
    const auto database = VITRINE_TRY(Database::open({{"guest", *guest}}));
    const auto asked = VITRINE_TRY(ask(*database));
    const auto walked = VITRINE_TRY(walk(*guest));
    std::printf("%zu processes in SQL, %zu on the list: %s\n", asked.size(), walked.size(),
                asked == walked ? "the same" : "they differ");
    return asked == walked;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return std::fprintf(stderr, "usage: ask_and_walk TARGET\n"), 2;
    const auto same = run(argv[1]);
    if (same) return *same ? 0 : 1;
    const Error& error = same.error();
    std::fprintf(stderr, "ask_and_walk: %s\n", error.to_string().c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "%s\n", std::string(error.hint()).c_str());
    return 1;
}
