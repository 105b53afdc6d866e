// Environment variables of every process, as they are in its memory now.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "os/linux/user_memory.h"
#include "tables/support/process_walk.h"

namespace vitrine {
namespace {

using namespace linux_os;

enum : std::size_t { kPid, kKey, kValue, kPosition, kColumns };

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id"}),
    {"key", ColumnType::text, "name of the variable: what is in front of the first ="},
    {"value", ColumnType::text, "its value; NULL where the program wrote something without a ="},
    {"position", ColumnType::integer, "0 for the first one, as /proc/PID/environ orders them"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table process_envs qemu:web1",
    "vitrine table process_envs qemu:web1 --format json | jq '.[] | select(.key == \"LD_PRELOAD\")'",
});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT pid, value FROM process_envs WHERE key = 'LD_PRELOAD'",
    "SELECT p.pid, p.name, e.value FROM processes p JOIN process_envs e ON e.pid = p.pid WHERE e.key = 'PATH'",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a name of a variable holds no =",
     "SELECT pid, key FROM process_envs WHERE value IS NOT NULL AND instr(key, '=') > 0"},
    {"a process with an environment has user memory",
     "SELECT e.pid FROM process_envs e LEFT JOIN processes p ON p.pid = e.pid AND p.mm IS NOT NULL WHERE p.pid IS "
     "NULL"},
});

// Of all processes together; what a hostile guest claims beyond it is not read.
constexpr std::size_t kMostBytes = 256u << 20;

class Rows {
public:
    explicit Rows(const LinuxGuest& guest) : user_(guest) {}

    bool emit(const TaskKey& key, const TaskView& task, RowSink& rows) {
        const auto mm = task.pointer(FieldId::task_mm);
        if (!mm || mm->is_null()) return true;
        const auto warn = [&](std::string_view what) {
            rows.diagnostic({Severity::warning, {}, fmt::format("pid {}: {}", key.tgid, what), mm->value});
        };
        const auto found = user_.environment(*mm);
        if (!found) {
            warn(found.error().to_string());
            return true;
        }
        if (found->truncated) warn("the environment is longer than what was read, or partly paged out");
        bytes_ += found->bytes.size();
        return variables(key.tgid, found->bytes, rows);
    }
    [[nodiscard]] bool used_up() const { return bytes_ >= kMostBytes; }

private:
    static bool variables(std::int32_t pid, std::string_view bytes, RowSink& rows) {
        for (std::int64_t position = 0; !bytes.empty();) {
            const std::string_view text = bytes.substr(0, bytes.find('\0'));
            bytes.remove_prefix(std::min(bytes.size(), text.size() + 1));
            if (text.empty()) continue;
            const std::size_t equals = text.find('=');
            std::array<Value, kColumns> row;
            row[kPid] = std::int64_t{pid};
            row[kKey] = std::string(text.substr(0, equals));
            if (equals != std::string_view::npos) row[kValue] = std::string(text.substr(equals + 1));
            row[kPosition] = position++;
            if (!rows.row(row)) return false;
        }
        return true;
    }

    UserMemory user_;
    std::size_t bytes_ = 0;
};

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    for (const FieldId id : {FieldId::mm_env_start, FieldId::mm_env_end, FieldId::mm_pgd}) {
        if (guest.layout().has(id)) continue;
        return Error::with_text(Errc::not_found, Origin::types,
                                fmt::format("this kernel's types lack mm_struct.{}", need(id).paths[0]));
    }
    Rows rows(guest);
    bool cut = false;
    auto report = tables::for_each_process(guest, context, sink, kPid, "process_envs",
                                           [&](const TaskKey& key, const TaskView& task, RowSink& to) {
                                               cut = rows.used_up();
                                               return !cut && rows.emit(key, task, to);
                                           });
    if (report && cut) report->end = WalkEnd::budget;
    return report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_process_envs;
const Table table_process_envs{{"process_envs", "Environment variables of every process, from its own memory.", kSpec,
                                kExamples, kQueries, kInvariants},
                               kGenerators};

}  // namespace vitrine
