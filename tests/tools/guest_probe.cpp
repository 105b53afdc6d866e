// Attaches to a guest and gives out what the commands do not: the bytes of type information as they lie in guest memory, translations of
// user addresses, pages of guest-physical memory, and process lists taken again and again by one and the same reader.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "os/linux/module_btf.h"
#include "os/linux/user_memory.h"
#include "vitrine/base/text.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/machine/machine.h"
#include "vitrine/query/table.h"
#include "vitrine/types/catalog.h"

namespace {

using namespace vitrine;
using nlohmann::json;

int fail(const Error& error) {
    fmt::print(stderr, "{}\n", error.to_string());
    return 1;
}

const std::map<std::string, FindRoute> kRoutes{{"registers", FindRoute::registers},
                                               {"page-tables", FindRoute::page_tables},
                                               {"vmcoreinfo", FindRoute::vmcoreinfo},
                                               {"scan", FindRoute::scan}};

Result<std::unique_ptr<Guest>> attach(const std::string& target, std::optional<FindRoute> route, bool use_qmp) {
    const Target parsed = VITRINE_TRY(parse_target(target));
    OpenOptions opening;
    opening.use_qmp = use_qmp;
    auto machine = VITRINE_TRY(open_machine(parsed, opening));
    AttachOptions options;
    options.use_cache = false;
    options.only_route = route;
    return Guest::attach(std::move(machine), options);
}

bool write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file.good();
}

// The kernel's blob as FOLDER/vmlinux, those of modules as FOLDER/0, 1, ... (names are the guest's); says on stdout which is which.
int dump_btf(LinuxGuest& guest, const std::filesystem::path& folder) {
    const auto kernel = linux_os::kernel_btf(guest);
    if (!kernel) return fail(kernel.error());
    if (!write_file(folder / "vmlinux", *kernel)) return 1;
    const auto types = parse_btf(*kernel, "kernel");
    if (!types) return fail(types.error());
    json modules = json::array();
    json unread = json::array();
    std::string end = "none";
    if (const auto list = linux_os::list_module_btf(guest)) {
        for (std::size_t i = 0; i < list->modules.size(); ++i) {
            const auto& name = list->modules[i].module;
            const auto& blob = list->modules[i].blob;
            if (!write_file(folder / std::to_string(i), blob)) return 1;
            const auto all = parse_split_btf(*kernel, blob, "module");
            modules.push_back({{"name", name},
                               {"file", i},
                               {"types", all ? (*all)->size() - (*types)->size() : 0},
                               {"error", all ? "" : all.error().to_string()}});
        }
        unread = list->unread;
        end = to_string(list->report.end);
    } else if (list.error().code != Errc::not_found) {
        return fail(list.error());
    }
    fmt::print("{}\n",
               json{{"types", (*types)->size()}, {"modules", modules}, {"unread", unread}, {"end", end}}.dump());
    return 0;
}

// For each line "PID ADDRESS LENGTH": the guest-physical address of ADDRESS in that process and LENGTH bytes there, or "- ERROR".
int translate(LinuxGuest& guest) {
    std::map<int, TaskKey> tasks;
    for (const TaskKey& key : guest.processes().tasks) tasks.emplace(key.tgid, key);
    std::map<int, AddressSpace> spaces;
    int pid = 0;
    std::uint64_t address = 0, length = 0;
    while (std::cin >> std::dec >> pid >> std::hex >> address >> std::dec >> length) {
        const auto task = tasks.find(pid);
        auto space = spaces.find(pid);
        if (space == spaces.end() && task != tasks.end()) {
            const auto view = linux_os::TaskView::read(guest, task->second);
            const auto mm = view ? view->pointer(linux_os::FieldId::task_mm) : std::nullopt;
            if (const auto root = linux_os::user_root(guest, mm.value_or(Gva{}))) {
                const AddressSpace& kernel = guest.space();
                space = spaces.emplace(pid, AddressSpace(kernel.memory(), kernel.mode(), *root)).first;
            }
        }
        if (space == spaces.end()) {
            fmt::print("- no such process\n");
            continue;
        }
        const auto found = space->second.translate(Gva{address});
        std::vector<std::byte> bytes(std::min<std::uint64_t>(length, kPageSize));
        if (!found || !space->second.read(Gva{address}, bytes)) {
            fmt::print("- not mapped\n");
            continue;
        }
        fmt::print("{:x}", found->address.value);
        if (!bytes.empty()) fmt::print(" ");
        for (const std::byte b : bytes) fmt::print("{:02x}", static_cast<unsigned>(b));
        fmt::print("\n");
    }
    return 0;
}

// For each address of stdin the page of guest-physical memory there, or "-".
int read_pages(Guest& guest) {
    std::uint64_t address = 0;
    while (std::cin >> std::hex >> address) {
        std::vector<std::byte> page(kPageSize);
        std::string line;
        if (guest.machine().memory().read(Gpa{address}, page)) {
            for (const std::byte b : page) line += fmt::format("{:02x}", static_cast<unsigned>(b));
        }
        fmt::print("{}\n", line.empty() ? "-" : line);
    }
    return 0;
}

class JsonSink final : public RowSink {
public:
    explicit JsonSink(std::span<const Column> columns) : columns_(columns) {}
    bool row(std::span<const Value> values) override {
        json object = json::object();
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (const auto* number = std::get_if<std::int64_t>(&values[i]))
                object[std::string(columns_[i].name)] = *number;
            else if (const auto* address = std::get_if<AddressValue>(&values[i]))
                object[std::string(columns_[i].name)] = address->value;
            else if (const auto* text = std::get_if<std::string>(&values[i]))
                object[std::string(columns_[i].name)] = to_valid_utf8(*text);
        }
        rows.push_back(std::move(object));
        return true;
    }
    void diagnostic(Diagnostic d) override { notes.push_back(d.text); }
    json rows = json::array(), notes = json::array();

private:
    std::span<const Column> columns_;
};

// One JSON object a line for each look at the process list, with the kernel it was found in.
int look_often(Guest& guest, unsigned times) {
    const Table* table = find_table("processes");
    const KernelInfo& info = guest.kernel();
    const json kernel = {{"text_va", info.text_va.value},
                         {"text_pa", info.text_pa.value},
                         {"root", info.root.value},
                         {"route", to_string(info.route)}};
    for (unsigned i = 0; i < times; ++i) {
        QueryContext context;
        JsonSink sink(table->spec.columns);
        const auto report = run_table(*table, guest, context, sink);
        if (!report) return fail(report.error());
        const json line = {{"end", to_string(report->end)},
                           {"retries", report->retries},
                           {"rows", sink.rows},
                           {"notes", sink.notes},
                           {"kernel", kernel}};
        fmt::print("{}\n", line.dump(-1, ' ', false, json::error_handler_t::replace));
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"what the commands of vitrine do not show"};
    app.require_subcommand(1);
    std::string target, folder;
    std::optional<FindRoute> route;
    unsigned times = 1;
    app.add_option("--route", route, "find the kernel this way or fail")->transform(CLI::CheckedTransformer(kRoutes));
    auto* btf = app.add_subcommand("btf", "write the type information as it lies in memory");
    btf->add_option("target", target)->required();
    btf->add_option("folder", folder)->required();
    auto* walk = app.add_subcommand("translate", "user addresses, from lines of stdin");
    walk->add_option("target", target)->required();
    auto* often = app.add_subcommand("processes", "the process list, again and again");
    often->add_option("target", target)->required();
    often->add_option("times", times);
    auto* pages = app.add_subcommand("pages", "guest-physical pages, from addresses of stdin");
    pages->add_option("target", target)->required();
    bool no_qmp = false;
    app.add_flag("--no-qmp", no_qmp, "connect to no monitor socket");
    CLI11_PARSE(app, argc, argv);
    auto guest = attach(target, route, !no_qmp);
    if (!guest) return fail(guest.error());
    LinuxGuest& inside = *(*guest)->as_linux();
    if (*btf) return dump_btf(inside, folder);
    if (*walk) return translate(inside);
    if (*pages) return read_pages(inside);
    return look_often(inside, times);
}
