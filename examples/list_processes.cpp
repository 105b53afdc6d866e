// Lists the processes of a running virtual machine, or of an image of one.
//
//   list_processes qemu:NAME | qemu:PID | qmp:SOCKET | FILE
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "vitrine/base/text.h"
#include "vitrine/guest/guest.h"
#include "vitrine/machine/machine.h"
#include "vitrine/query/table.h"

namespace {

// Receives the rows of a table as they are found.
class Printer : public vitrine::RowSink {
public:
    Printer(std::size_t pid_column, std::size_t name_column) : pid_column_(pid_column), name_column_(name_column) {}

    bool row(std::span<const vitrine::Value> values) override {
        const auto* pid = std::get_if<std::int64_t>(&values[pid_column_]);
        const auto* name = std::get_if<std::string>(&values[name_column_]);
        // A guest chooses the names of its processes: nothing of it goes to a terminal as it is.
        std::printf("%7s  %s\n", pid ? std::to_string(*pid).c_str() : "?",
                    name ? vitrine::to_terminal_text(*name).c_str() : "?");
        return true;
    }
    void diagnostic(vitrine::Diagnostic diagnostic) override {
        std::fprintf(stderr, "note: %s\n", vitrine::to_terminal_text(diagnostic.text).c_str());
    }

private:
    std::size_t pid_column_;
    std::size_t name_column_;
};

vitrine::Result<std::size_t> column_index(const vitrine::Table& table, std::string_view name) {
    for (std::size_t i = 0; i < table.spec.columns.size(); ++i) {
        if (table.spec.columns[i].name == name) return i;
    }
    return vitrine::Error::make(vitrine::Errc::not_found, vitrine::Origin::user, "looking for a column");
}

vitrine::Result<void> list_processes(const char* target_text) {
    const vitrine::Target target = VITRINE_TRY(vitrine::parse_target(target_text));
    auto machine = VITRINE_TRY(vitrine::open_machine(target, {}));
    auto guest = VITRINE_TRY(vitrine::Guest::attach(std::move(machine), {}));
    std::printf("Linux %s\n", vitrine::to_terminal_text(guest->kernel().release).c_str());

    const vitrine::Table* processes = vitrine::find_table("processes");
    if (processes == nullptr) {
        return vitrine::Error::make(vitrine::Errc::not_found, vitrine::Origin::user, "looking for the table");
    }
    vitrine::QueryContext context;
    Printer printer(VITRINE_TRY(column_index(*processes, "pid")), VITRINE_TRY(column_index(*processes, "name")));
    const vitrine::WalkReport report = VITRINE_TRY(vitrine::run_table(*processes, *guest, context, printer));
    if (report.end != vitrine::WalkEnd::complete) {
        std::fprintf(stderr, "the list may be incomplete: %s\n", std::string(to_string(report.end)).c_str());
    }
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: list_processes qemu:NAME | qemu:PID | qmp:SOCKET | FILE\n");
        return 2;
    }
    if (auto done = list_processes(argv[1]); !done) {
        const vitrine::Error& error = done.error();
        std::fprintf(stderr, "list_processes: %s\n", error.to_string().c_str());
        if (!error.hint().empty()) std::fprintf(stderr, "%s\n", std::string(error.hint()).c_str());
        return 1;
    }
    return 0;
}
