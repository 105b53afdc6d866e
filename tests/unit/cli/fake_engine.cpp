#include "fake_engine.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "app/app.h"

namespace vitrine::cli::test {
namespace {

constexpr auto kProcessColumns = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id"}),
    {"name", ColumnType::text, "name"},
    {"cmdline", ColumnType::text, "arguments"},
    {"state", ColumnType::text, "state"},
    {"uid", ColumnType::integer, "user id"},
    {"parent", ColumnType::integer, "process id of the parent"},
    {"threads", ColumnType::integer, "number of threads"},
    {"start_time", ColumnType::integer, "seconds since the epoch", Unit::epoch_seconds},
    {"task", ColumnType::address, "address of struct task_struct"},
});
constexpr auto kModuleColumns = std::to_array<Column>({
    {"name", ColumnType::text, "name"},
    {"size", ColumnType::integer, "bytes"},
    {"address", ColumnType::address, "address of its text"},
});
constexpr auto kExamples = std::to_array<std::string_view>({"vitrine ps qemu:web1"});

class ZeroStore final : public RamStore {
public:
    [[nodiscard]] std::uint64_t size() const override { return 64 << 20; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    Result<void> read(std::span<StoreReadOp> ops) override {
        for (StoreReadOp& op : ops) {
            std::memset(op.out.data(), 0, op.out.size());
            op.ok = true;
        }
        return {};
    }
};

MemoryLayout whole() {
    MemoryLayout layout;
    layout.name = "flat";
    layout.extents = {{Gpa{0}, 64 << 20, 0}};
    layout.certain = true;
    return layout;
}

class FakeMachine final : public Machine, public PauseControl {
public:
    explicit FakeMachine(Script& script)
        : script_(script), layout_(whole()), memory_(std::make_shared<ZeroStore>(), layout_) {
        info_.kind = "QEMU";
        info_.name = "web\x1b[31m1";
        info_.version = "7.2.22";
        info_.accelerator = "tcg";
    }
    [[nodiscard]] const MachineInfo& info() const override { return info_; }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return {&layout_, 1}; }
    [[nodiscard]] PauseControl* pause_control() override { return script_.can_pause ? this : nullptr; }
    [[nodiscard]] bool is_live() const override { return true; }
    Result<void> pause() override {
        ++script_.pauses;
        return {};
    }
    Result<void> resume() override {
        ++script_.resumes;
        if (script_.on_resume) script_.on_resume();
        return {};
    }
    [[nodiscard]] std::string_view route() const override { return "a switch"; }

private:
    Script& script_;
    MachineInfo info_;
    MemoryLayout layout_;
    GuestMemory memory_;
};

class FakeGuest final : public Guest {
public:
    FakeGuest(std::unique_ptr<Machine> machine, KernelInfo kernel, Script& script)
        : Guest(std::move(machine), std::move(kernel)), script_(script) {
        space_ = std::make_unique<AddressSpace>(machine_->memory(), PagingMode::x86_64_4level, Gpa{0x1000});
        SymbolTableBuilder builder;
        builder.add(Gva{0xffffffff81000000}, "_text", 'T');
        builder.add(Gva{0xffffffff81001000}, "start\x1b[2J", 'T');
        symbols_ = builder.build();
    }
    Result<void> verify() const override { return {}; }
    Result<const SymbolTable*> symbols() override { return &symbols_; }
    Result<const TypeCatalog*> types() override {
        return Error::with_text(Errc::not_found, Origin::types, "this kernel carries no BTF",
                                "--symbols VMLINUX gives types");
    }

    Result<WalkReport> give(bool processes, QueryContext& context, RowSink& sink);

private:
    Script& script_;
    SymbolTable symbols_;
};

Result<WalkReport> FakeGuest::give(bool processes, QueryContext& context, RowSink& sink) {
    std::uint64_t used = 0;
    for (std::size_t i = 0; i < (processes ? kProcessColumns.size() : kModuleColumns.size()); ++i)
        used |= context.uses(i) ? std::uint64_t{1} << i : 0;
    script_.used_columns.push_back(used);
    if (const auto pid = processes ? context.wanted_integer(0) : std::nullopt) script_.wanted_pids.push_back(*pid);
    script_.rows_while_paused = script_.pauses > script_.resumes;
    if (script_.on_run) script_.on_run();
    WalkReport report = script_.report;
    for (const auto& row : processes ? script_.processes : script_.modules) {
        ++script_.delivered;
        if (!sink.row(row)) {
            report.end = WalkEnd::stopped;
            return report;
        }
    }
    for (std::size_t i = 0; i < script_.endless_rows; ++i) {
        ++script_.delivered;
        if (!sink.row(process(static_cast<std::int64_t>(i), 0, "endless", std::string(200, 'x')))) {
            report.end = WalkEnd::stopped;
            return report;
        }
    }
    for (const Diagnostic& diagnostic : script_.diagnostics) sink.diagnostic(diagnostic);
    if (script_.run_error) return script_.run_error();
    return report;
}

template <bool processes>
Result<WalkReport> generate(Guest& guest, QueryContext& context, RowSink& sink) {
    return static_cast<FakeGuest&>(guest).give(processes, context, sink);
}
constexpr auto kProcessGenerators = std::to_array<Generator>({{"", generate<true>}});
constexpr auto kModuleGenerators = std::to_array<Generator>({{"", generate<false>}});
const Table kProcesses{{"processes", "Processes of the guest.", kProcessColumns, kExamples}, kProcessGenerators};
const Table kModules{{"kernel_modules", "Modules of the guest.", kModuleColumns, kExamples}, kModuleGenerators};

KernelInfo kernel_info() {
    KernelInfo kernel;
    kernel.release = "6.1.0-56-cloud-amd64";
    kernel.banner = "Linux version 6.1.0\n\x1b]0;title\x07";
    kernel.text_va = Gva{0xffffffff81000000};
    kernel.steps = {{"find page tables", std::chrono::microseconds(1234), "one root"}};
    kernel.checks = {"the banner lies where linux_banner points"};
    return kernel;
}

}  // namespace

std::vector<Value> process(std::int64_t pid, std::int64_t parent, std::string name, Value cmdline) {
    return {pid,
            std::move(name),
            std::move(cmdline),
            std::string("S"),
            std::int64_t{0},
            parent,
            std::int64_t{1},
            std::int64_t{1704067200},
            AddressValue{0xffff888000000000 + static_cast<std::uint64_t>(pid)}};
}

Result<Target> FakeEngine::parse_target(std::string_view text) {
    if (text == "qemu:") return Error::with_text(Errc::usage, Origin::user, "nothing follows 'qemu:'", "qemu:NAME");
    return Target{TargetKind::file, std::string(text)};
}

Result<std::unique_ptr<Machine>> FakeEngine::open(const Target& target, const OpenOptions& options) {
    script_.open_options = options;
    if (script_.open_error) return script_.open_error();
    if (target.text != "qemu:web1" && target.text != "qemu:web2")
        return Error::with_text(Errc::not_found, Origin::source, fmt::format("there is no {}", target.text),
                                "vitrine list");
    return std::make_unique<FakeMachine>(script_);
}

Result<std::unique_ptr<Guest>> FakeEngine::attach(std::unique_ptr<Machine> machine, const AttachOptions& options) {
    ++script_.attaches;
    script_.attach_options = options;
    script_.attach_options.progress.reset();
    if (options.progress) (*options.progress)("find page tables", 0.5);
    if (script_.attach_error) return script_.attach_error();
    return std::make_unique<FakeGuest>(std::move(machine), kernel_info(), script_);
}

std::span<const Table* const> FakeEngine::tables() const {
    static constexpr std::array<const Table*, 2> kTables{&kProcesses, &kModules};
    return kTables;
}

TemporaryFile::TemporaryFile() : fd_(memfd_create("vitrine-test", MFD_CLOEXEC)) {}
TemporaryFile::~TemporaryFile() { close(fd_); }

std::string TemporaryFile::text() const {
    const off_t size = lseek(fd_, 0, SEEK_END);
    std::string text(static_cast<std::size_t>(size), '\0');
    const ssize_t got = pread(fd_, text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(got < 0 ? 0 : got));
    return text;
}

void TemporaryFile::fill(std::string_view text) const {
    if (write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw std::runtime_error("write");
    lseek(fd_, 0, SEEK_SET);
}

Ran run(Script& script, std::vector<std::string> words, std::string_view input) {
    FakeEngine engine(script);
    const TemporaryFile in;
    const TemporaryFile out;
    const TemporaryFile err;
    in.fill(input);
    Ran ran;
    ran.code = run_program(words, engine, out.fd(), err.fd(), in.fd());
    ran.out = out.text();
    ran.err = err.text();
    return ran;
}

}  // namespace vitrine::cli::test
