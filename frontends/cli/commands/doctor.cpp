#include <fmt/format.h>
#include <unistd.h>

#include "app/host.h"
#include "app/session.h"
#include "commands/commands.h"
#include "render/wrap.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine doctor", "what this host and this user can do"},
    {"vitrine doctor qemu:web1", "also what works for one guest, step by step"},
    {"vitrine doctor qemu:web1 --format json", "the same for a program"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET", "a guest to try; without it only the host is looked at", ArgumentKind::target, false}};

enum class Health : std::uint8_t { ok, warn, fail };

constexpr std::string_view kHealthNames[] = {"ok", "warn", "fail"};
constexpr std::string_view kHealthColors[] = {"\x1b[32m", "\x1b[33m", "\x1b[31m"};

struct Check {
    std::string name;
    Health health = Health::ok;
    std::string detail;
    std::string mend;
};

// Shows each check as soon as it is known: the slow ones come last.
class Examination {
public:
    explicit Examination(Session& session) : session_(session), style_(session.style()) {
        if (style_.format != Format::table) {
            static const std::vector<OutputColumn> columns{{"check", ColumnType::text},
                                                           {"result", ColumnType::text},
                                                           {"detail", ColumnType::text},
                                                           {"mend", ColumnType::text}};
            writer_ = make_row_writer(session.out(), style_, columns);
        }
    }

    void add(const Check& check) {
        const auto health = static_cast<std::size_t>(check.health);
        session_.messages().clear_progress();
        if (writer_) {
            const std::vector<Value> values{check.name, std::string(kHealthNames[health]), check.detail,
                                            check.mend.empty() ? Value() : Value(check.mend)};
            writer_->row(values);
            return;
        }
        constexpr std::size_t kDetailColumn = 27;
        constexpr std::size_t kMendColumn = 12;
        const std::string_view label = kHealthNames[health];
        std::string text = hanging_lines(fmt::format("{:<4}  {:<20} ", label, check.name),
                                         to_terminal_text(check.detail), kDetailColumn, style_.width);
        if (style_.color) text.replace(0, label.size(), fmt::format("{}{}\x1b[0m", kHealthColors[health], label));
        if (!check.mend.empty())
            text += hanging_lines("      mend: ", to_terminal_text(check.mend), kMendColumn, style_.width);
        session_.out().write(text);
        session_.out().flush();
    }

    // A check that comes down to a Result; the first failure decides the exit code.
    void fail(std::string name, const Error& error, Phase phase) {
        if (code_ == kExitOk) code_ = exit_code(error, phase);
        add({std::move(name), Health::fail, error.to_string(), std::string(error.hint())});
    }
    void fail(Check check) {
        if (code_ == kExitOk) code_ = kExitUnreachable;
        check.health = Health::fail;
        add(check);
    }
    int finish() {
        if (writer_) writer_->finish();
        return code_;
    }

private:
    Session& session_;
    Style style_;
    std::unique_ptr<RowWriter> writer_;
    int code_ = kExitOk;
};

void examine_memory_access(Examination& examination) {
    const KernelFeature read = try_process_vm_readv();
    if (read.works) examination.add({"process_vm_readv", Health::ok, "memory of other processes can be read", ""});
    else
        examination.fail({"process_vm_readv", Health::fail, read.why_not,
                          "in a container: allow it in the seccomp profile, or give the capability SYS_PTRACE"});
    const KernelFeature getfd = try_pidfd_getfd();
    if (getfd.works) examination.add({"pidfd_getfd", Health::ok, "shared RAM of a guest can be mapped", ""});
    else
        examination.add({"pidfd_getfd", Health::warn, fmt::format("{}: guests are read by copying only", getfd.why_not),
                         "needs Linux 5.6 or later, and a seccomp profile that allows it"});
}

void examine_rights(Examination& examination) {
    const bool ptrace = has_capability_ptrace();
    if (ptrace) {
        examination.add({"CAP_SYS_PTRACE", Health::ok, "held: virtual machines of all users can be read", ""});
    } else {
        examination.add({"CAP_SYS_PTRACE", Health::warn, "not held: only virtual machines of this user can be read",
                         "sudo vitrine ..., or: sudo setcap cap_sys_ptrace+ep \"$(command -v vitrine)\""});
    }
    const auto scope = yama_scope();
    if (!scope || *scope == 0 || (ptrace && *scope < 3)) {
        examination.add(
            {"Yama", Health::ok,
             scope ? fmt::format("ptrace_scope {} is no obstacle", *scope) : "not in this kernel: no obstacle", ""});
    } else if (*scope < 3) {
        examination.fail({"Yama", Health::fail,
                          fmt::format("ptrace_scope {} forbids reading other processes without CAP_SYS_PTRACE", *scope),
                          "sudo vitrine ..., or: sudo sysctl kernel.yama.ptrace_scope=0"});
    } else {
        examination.fail({"Yama", Health::fail, "ptrace_scope 3 forbids reading other processes to everyone",
                          "it can only be lowered by a reboot: set kernel.yama.ptrace_scope=1 in /etc/sysctl.d"});
    }
}

void examine_host(Session& session, Examination& examination) {
    examine_memory_access(examination);
    examine_rights(examination);
    const KernelFeature kvm = try_kvm();
    if (kvm.works) examination.add({"/dev/kvm", Health::ok, "answers: guests here may run under KVM", ""});
    else
        examination.add({"/dev/kvm", Health::ok,
                         fmt::format("not usable here ({}); only starting KVM guests would need it", kvm.why_not), ""});
    const CacheState cache = look_at_cache(session.settings().cache_directory);
    if (cache.writable) examination.add({"cache", Health::ok, cache.directory, ""});
    else
        examination.add({"cache", Health::warn,
                         fmt::format("{}: {}; each run learns the kernel anew", cache.directory, cache.why_not),
                         "--cache-dir DIR, or XDG_CACHE_HOME"});
    const auto machines = session.engine().list_machines();
    if (!machines) {
        examination.fail("virtual machines", machines.error(), Phase::open);
        return;
    }
    std::size_t reachable = 0;
    for (const MachineListing& machine : *machines) reachable += machine.state == "accessible" ? std::size_t{1} : 0;
    const std::string detail = fmt::format("{} found, {} of them accessible", machines->size(), reachable);
    const bool some_closed = reachable < machines->size();
    examination.add({"virtual machines", some_closed ? Health::warn : Health::ok, detail,
                     some_closed ? "vitrine list says why, for each" : ""});
}

void examine_registers(Session& session, Examination& examination, Machine& machine) {
    if (!session.settings().use_registers) {
        examination.add({"registers", Health::ok, "not wanted (--no-registers)", ""});
        return;
    }
    VcpuRegisters* registers = machine.registers();
    if (registers == nullptr) {
        examination.add({"registers", Health::warn, "no route to them: the kernel is found by memory alone",
                         machine.is_live()
                             ? "a QMP socket (qemu -qmp unix:PATH,server=on,wait=off), or KVM and CAP_SYS_PTRACE"
                             : ""});
        return;
    }
    const auto vcpus = registers->read_registers(RegisterSet::all);
    if (!vcpus) {
        examination.add({"registers", Health::warn, vcpus.error().to_string(), std::string(vcpus.error().hint())});
        return;
    }
    const bool system_call_entry = !vcpus->empty() && vcpus->front().lstar.has_value();
    examination.add({"registers", Health::ok,
                     fmt::format("{} vCPUs by {}{}", vcpus->size(), registers->route(),
                                 system_call_entry ? ", with MSRs" : ", without MSRs"),
                     ""});
}

void examine_machine(Session& session, Examination& examination, Machine& machine) {
    const MachineInfo& info = machine.info();
    examination.add({"machine", Health::ok, fmt::format("{} {} {}", info.kind, info.version, info.name), ""});
    examination.add({"memory", Health::ok,
                     fmt::format("{} reachable, {}{}{}", size_text(machine.memory().total_size()),
                                 to_string(machine.memory().method()), info.backend.empty() ? "" : ": ", info.backend),
                     ""});
    for (const std::string& note : info.notes) examination.add({"note", Health::warn, note, ""});
    if (machine.is_live()) {
        if (!session.settings().use_qmp) examination.add({"QMP", Health::ok, "not wanted (--no-qmp)", ""});
        else if (info.qmp_socket.empty())
            examination.add({"QMP", Health::warn,
                             "no monitor socket that can be used: the memory map is guessed and proven, not told",
                             "start QEMU with -qmp unix:PATH,server=on,wait=off"});
        else examination.add({"QMP", Health::ok, info.qmp_socket, ""});
        PauseControl* pause = machine.pause_control();
        examination.add({"pausing", pause == nullptr ? Health::warn : Health::ok,
                         pause == nullptr ? "no route" : fmt::format("by {}", pause->route()), ""});
    }
    examine_registers(session, examination, machine);
}

void examine_guest(Session& session, Examination& examination, std::string_view target) {
    auto machine = session.open(target);
    if (!machine) {
        examination.fail("machine", machine.error().error, machine.error().phase);
        return;
    }
    examine_machine(session, examination, **machine);
    auto guest = session.attach(std::move(*machine));
    if (!guest) {
        examination.fail("kernel", guest.error(), Phase::attach);
        return;
    }
    const KernelInfo& kernel = (*guest)->kernel();
    examination.add({"kernel", Health::ok,
                     fmt::format("{} {}, found by {}", kernel.os, kernel.release, to_string(kernel.route)), ""});
    if (std::string doubt = (*guest)->doubt(); !doubt.empty())
        examination.add({"kernel", Health::warn, std::move(doubt), "with a QMP socket or under KVM registers tell"});
    if (const std::string& doubt = (*guest)->machine().info().unproven_order; !doubt.empty())
        examination.add({"memory", Health::warn, doubt, "start QEMU with -qmp unix:PATH,server=on,wait=off"});
    const auto symbols = (*guest)->symbols();
    if (symbols)
        examination.add(
            {"symbols", Health::ok,
             kernel.symbols_from.empty() ? fmt::format("{} symbols", (*symbols)->size()) : kernel.symbols_from, ""});
    else examination.fail("symbols", symbols.error(), Phase::query);
    const auto types = (*guest)->types();
    if (types)
        examination.add({"types", Health::ok, kernel.types_from.empty() ? (*types)->origin() : kernel.types_from, ""});
    else
        examination.add({"types", Health::warn, types.error().to_string(),
                         "--symbols VMLINUX takes types from the kernel's debug file"});
}

int run(Session& session, const Arguments& arguments) {
    Examination examination(session);
    examine_host(session, examination);
    if (arguments.has("TARGET")) examine_guest(session, examination, arguments.text("TARGET"));
    return examination.finish();
}

}  // namespace

const Command kDoctorCommand{
    .name = "doctor",
    .summary = "Say what works here, what does not, and what would mend it",
    .description = "Exits with 0 if everything that is needed works.",
    .arguments = kArguments,
    .options = {},
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
