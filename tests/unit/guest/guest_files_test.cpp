// Every guest described in tests/data/guests: made, attached to by each route, and asked for all tables. What a description expects:
//
//   expect.attach     ok, or a part of the error                     (default ok)
//   expect.routes     the routes that must find it, of registers page_tables vmcoreinfo scan  (default all)
//   expect.not        the routes that must not
//   expect.processes  how the table's walk ends: an enumerator of WalkEnd, or error (also threads, modules, symbols)  (default complete)
//   expect.rows       exact (default): processes and modules equal what was made; any
//   expect.types      BTF (default), recovered
//   expect.diagnostic a part of what is said besides the rows
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "support/guest_test_support.h"
#include "support/synthetic_guest_text.h"

namespace vitrine::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> descriptions() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(fs::path(VITRINE_TEST_DATA) / "guests")) {
        if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

const std::map<std::string, FindRoute> kRoutes = {{"registers", FindRoute::registers},
                                                  {"page_tables", FindRoute::page_tables},
                                                  {"vmcoreinfo", FindRoute::vmcoreinfo},
                                                  {"scan", FindRoute::scan}};

std::string name_of(WalkEnd end) {
    switch (end) {
        case WalkEnd::complete: return "complete";
        case WalkEnd::stopped: return "stopped";
        case WalkEnd::cycle: return "cycle";
        case WalkEnd::budget: return "budget";
        case WalkEnd::fault: return "fault";
        case WalkEnd::inconsistent: return "inconsistent";
    }
    return "?";
}

std::vector<std::string> words(const std::string& text) {
    std::stringstream in(text);
    std::vector<std::string> found;
    for (std::string word; in >> word;) found.push_back(word);
    return found;
}

void expect_kernel(const SyntheticGuest& made, const KernelInfo& info, const GuestText& text) {
    EXPECT_EQ(info.release, made.d.release);
    EXPECT_EQ(info.banner + "\n", made.banner());
    if (text.expected("build_id", "yes") == "yes") {
        EXPECT_EQ(info.build_id, made.build_id());
    }
    EXPECT_EQ(info.text_va, made.text);
    EXPECT_EQ(info.text_pa.value, made.d.text_pa);
    EXPECT_EQ(info.kaslr_slide, made.d.slide);
    EXPECT_EQ(info.paging, made.mode());
    EXPECT_EQ(info.page_table_isolation, made.d.isolation);
    EXPECT_EQ(info.root, made.root());
    EXPECT_THAT(info.symbols_from, ::testing::HasSubstr(fmt::format("{} symbols", made.symbol_count)));
    EXPECT_THAT(info.types_from, ::testing::HasSubstr(text.expected("types", "BTF")));
}

void expect_processes(const SyntheticGuest& made, const Rows& rows) {
    ASSERT_EQ(rows.rows.size(), made.tasks.size() - 1) << rows.all_diagnostics();
    for (std::size_t i = 0; i < rows.rows.size(); ++i) {
        const SyntheticTask& task = made.tasks[i + 1];
        SCOPED_TRACE(task.comm);
        EXPECT_EQ(rows.integer(i, "pid"), task.pid);
        EXPECT_EQ(rows.text(i, "comm"), task.comm);
        EXPECT_EQ(rows.text(i, "name"), task.full_name.empty() ? task.comm : task.full_name);
        EXPECT_EQ(rows.integer(i, "parent"), task.parent);
        EXPECT_EQ(rows.integer(i, "uid"), task.uid);
        EXPECT_EQ(rows.integer(i, "kernel_thread"), task.kernel ? 1 : 0);
        EXPECT_EQ(rows.integer(i, "threads"), static_cast<std::int64_t>(task.threads.size()));
        EXPECT_EQ(rows.integer(i, "start_ns"), static_cast<std::int64_t>(task.start));
        EXPECT_EQ(rows.text(i, "namespace_pids"), std::to_string(task.pid));
        EXPECT_EQ(rows.text(i, "cwd"), task.cwd);
        EXPECT_EQ(rows.text(i, "root"), "/");
        EXPECT_EQ(rows.text(i, "state"), task.pid == 1 ? "R" : "S");
        if (made.d.boot_clock) {
            EXPECT_EQ(rows.integer(i, "start_time"),
                      (made.d.booted + static_cast<std::int64_t>(task.start)) / 1'000'000'000);
        }
        if (task.kernel) continue;
        EXPECT_EQ(rows.text(i, "path"), task.path);
        EXPECT_EQ(rows.text(i, "cmdline"), task.cmdline);
        EXPECT_EQ(rows.integer(i, "on_disk"), 1);
        EXPECT_EQ(rows.integer(i, "resident_size"), 30 * 4096);
        EXPECT_EQ(rows.integer(i, "total_size"), (1000 + task.pid) * 4096);
    }
}

void expect_threads(const SyntheticGuest& made, const Rows& rows) {
    std::vector<std::pair<std::int64_t, std::int64_t>> wanted, found;
    for (std::size_t i = 1; i < made.tasks.size(); ++i) {
        for (const std::int32_t tid : made.tasks[i].threads) wanted.emplace_back(made.tasks[i].pid, tid);
    }
    for (std::size_t i = 0; i < rows.rows.size(); ++i)
        found.emplace_back(rows.integer(i, "pid"), rows.integer(i, "tid"));
    EXPECT_EQ(found, wanted);
}

void expect_modules(const SyntheticGuest& made, const Rows& rows) {
    ASSERT_EQ(rows.rows.size(), made.modules.size());
    for (std::size_t i = 0; i < rows.rows.size(); ++i) {
        EXPECT_EQ(rows.text(i, "name"), made.modules[i].name);
        EXPECT_EQ(rows.integer(i, "size"), static_cast<std::int64_t>(made.modules[i].size));
        EXPECT_EQ(std::get<AddressValue>(rows.at(i, "address")).value, made.modules[i].base.value);
        EXPECT_EQ(rows.text(i, "used_by"), made.modules[i].used_by.empty() ? "-" : made.modules[i].used_by);
        EXPECT_EQ(rows.text(i, "status"), "Live");
    }
}

void expect_symbols(const SyntheticGuest& made, Guest& guest) {
    const auto symbols = guest.symbols();
    ASSERT_TRUE(symbols) << symbols.error().to_string();
    std::size_t of_modules = 0;
    for (const SyntheticModule& module : made.modules) of_modules += module.symbols.size();
    EXPECT_EQ((*symbols)->size(), made.symbol_count + of_modules);
    EXPECT_EQ((*symbols)->address_of("init_task"), made.symbol("init_task"));
}

void expect_tables(const SyntheticGuest& made, Guest& guest, const GuestText& text) {
    std::string said;
    const auto table = [&](const std::string& name, const std::string& key) {
        const Answer answer = ask(guest, name);
        EXPECT_FALSE(answer.rows.widths_differ) << name;
        said += answer.rows.all_diagnostics();
        const std::string wanted = text.expected(key, "complete");
        if (wanted.starts_with("error")) {
            EXPECT_FALSE(answer.report) << name;
        } else if (!answer.report) {
            ADD_FAILURE() << name << ": " << answer.report.error().to_string();
        } else {
            EXPECT_EQ(name_of(answer.report->end), wanted) << name << ", " << answer.rows.rows.size() << " rows";
        }
        return answer;
    };
    const bool exact = text.expected("rows", "exact") == "exact";
    const Answer processes = table("processes", "processes");
    if (exact) expect_processes(made, processes.rows);
    const Answer threads = table("process_threads", "threads");
    if (exact) expect_threads(made, threads.rows);
    const Answer modules = table("kernel_modules", "modules");
    if (exact) expect_modules(made, modules.rows);
    table("symbols", "symbols");
    if (exact) expect_symbols(made, guest);
    if (text.expected("types", "BTF") == "BTF") table("types", "type_rows");
    table("guest_memory_map", "memory");
    if (const std::string part = text.expected("diagnostic", ""); !part.empty()) {
        EXPECT_THAT(said, ::testing::HasSubstr(part));
    }
    if (text.expect.contains("rows_at_least")) {
        EXPECT_GE(processes.rows.rows.size(), std::stoul(text.expected("rows_at_least", "0")));
    }
}

class GuestFiles : public ::testing::TestWithParam<std::string> {};

TEST_P(GuestFiles, AnswersAsDescribed) {
    const GuestText text = load_guest_text(fs::path(VITRINE_TEST_DATA) / "guests" / (GetParam() + ".txt"));
    const auto made = text.make();
    const std::string wanted = text.expected("attach", "ok");
    for (const std::string& name : words(text.expected("routes", "registers page_tables vmcoreinfo scan"))) {
        SCOPED_TRACE(GetParam() + " by " + name);
        auto machine = made->machine(made->vcpus());
        const Bounded bounded(GetParam() + " by " + name);
        auto guest = attach(std::move(machine), kRoutes.at(name));
        if (wanted != "ok") {
            ASSERT_FALSE(guest);
            EXPECT_THAT(guest.error().to_string(), ::testing::HasSubstr(wanted));
            continue;
        }
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_EQ((*guest)->kernel().route, kRoutes.at(name));
        expect_kernel(*made, (*guest)->kernel(), text);
        expect_tables(*made, **guest, text);
    }
    for (const std::string& name : words(text.expected("not", ""))) {
        auto machine = made->machine(made->vcpus());
        const Bounded bounded(GetParam() + " by " + name);
        EXPECT_FALSE(attach(std::move(machine), kRoutes.at(name))) << name;
    }
}

// A list that is wrong stays wrong: a running guest is not excused by what might be torn.
TEST_P(GuestFiles, AnswersTheSameWhileItRuns) {
    const GuestText text = load_guest_text(fs::path(VITRINE_TEST_DATA) / "guests" / (GetParam() + ".txt"));
    if (text.expected("attach", "ok") != "ok" || text.expected("routes", "registers").find("registers") != 0) return;
    const auto made = text.make();
    auto machine = made->machine(made->vcpus());
    machine->live = true;
    const Bounded bounded(GetParam() + " while it runs", 4.0);
    auto guest = attach(std::move(machine), FindRoute::registers);
    ASSERT_TRUE(guest) << guest.error().to_string();
    expect_tables(*made, **guest, text);
}

INSTANTIATE_TEST_SUITE_P(Described, GuestFiles, ::testing::ValuesIn(descriptions()),
                         [](const auto& of) { return of.param; });

}  // namespace
}  // namespace vitrine::test
