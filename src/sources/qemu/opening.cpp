#include "sources/qemu/opening.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "sources/qemu/backing.h"
#include "sources/qemu/memory_plan.h"
#include "sources/qemu/monitor_socket.h"
#include "sources/qmp/qmp_client.h"
#include "sources/registers/capabilities.h"

namespace vitrine {
namespace {

Error migrated_away(pid_t pid) {
    return Error::with_text(Errc::stale, Origin::source, fmt::format("the guest of process {} has migrated away", pid),
                            "attach to it on its new host");
}

class QemuMachine final : public Machine {
public:
    QemuMachine(std::shared_ptr<const HostProcess> process, MachineInfo info, Backing backing,
                std::vector<MemoryLayout> layouts, std::vector<InterchangeableParts> interchangeable)
        : process_(std::move(process)),
          info_(std::move(info)),
          parts_(std::move(backing.parts)),
          layouts_(std::move(layouts)),
          interchangeable_(std::move(interchangeable)),
          memory_(std::move(backing.store), layouts_.front()) {}

    void set_capabilities(std::unique_ptr<VcpuRegisters> registers, std::unique_ptr<PauseControl> pause_control) {
        registers_ = std::move(registers);
        pause_control_ = std::move(pause_control);
    }

    // The monitor said at opening that the guest is here; it is asked again now and then.
    void watch_migration(std::chrono::milliseconds qmp_timeout, std::int32_t socket_peer) {
        may_ask_ = true;
        socket_peer_ = socket_peer;
        qmp_timeout_ = std::min(qmp_timeout, kGlanceTimeout);
        next_glance_ = Clock::now() + kGlanceInterval;
    }

    [[nodiscard]] const MachineInfo& info() const override { return info_; }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return layouts_; }
    [[nodiscard]] std::span<const InterchangeableParts> interchangeable() const override { return interchangeable_; }
    void take_order_as_proven() override { info_.unproven_order.clear(); }
    [[nodiscard]] VcpuRegisters* registers() override { return registers_.get(); }
    [[nodiscard]] PauseControl* pause_control() override { return pause_control_.get(); }
    [[nodiscard]] bool is_live() const override { return true; }

    Result<void> check_alive() override {
        VITRINE_CHECK(process_->check_alive());
        auto maps = read_maps_at(*process_, parts_);
        if (!maps) return maps.error();
        if (are_still_mapped(parts_, *maps)) return check_not_migrated();
        return Error::with_text(Errc::stale, Origin::source,
                                fmt::format("process {} no longer has the guest's RAM where it was", process_->pid()),
                                "attach anew");
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds kGlanceInterval{1000};
    static constexpr std::chrono::milliseconds kGlanceTimeout{50};

    // After a migration the old monitor stays, paused, with the memory as it was when the guest left.
    Result<void> check_not_migrated() {
        const Clock::time_point now = Clock::now();
        if (!may_ask_ || now < next_glance_) return {};
        next_glance_ = now + kGlanceInterval;
        if (find_socket_client(*process_, info_.qmp_socket)) return {};  // somebody else is being served
        const auto qmp = QmpClient::connect(info_.qmp_socket, qmp_timeout_, socket_peer_);
        if (!qmp) {
            may_ask_ = qmp.error().code != Errc::busy;  // each try would leave a dead connection in its queue
            return {};
        }
        const auto status = (*qmp)->execute("query-status");
        if (status && json_string(*status, "status") == "postmigrate") return migrated_away(process_->pid());
        return {};
    }

    std::shared_ptr<const HostProcess> process_;
    MachineInfo info_;
    bool may_ask_ = false;
    std::int32_t socket_peer_ = -1;
    std::chrono::milliseconds qmp_timeout_{};
    Clock::time_point next_glance_;
    std::vector<HostMapping> parts_;
    std::vector<MemoryLayout> layouts_;
    std::vector<InterchangeableParts> interchangeable_;
    GuestMemory memory_;
    std::unique_ptr<VcpuRegisters> registers_;
    std::unique_ptr<PauseControl> pause_control_;
};

// Everything that is gathered while a QEMU is opened.
class Opening {
public:
    Opening(std::shared_ptr<const HostProcess> process, QemuProcess qemu, const OpenOptions& options)
        : process_(std::move(process)), qemu_(std::move(qemu)), options_(options) {}

    // given_socket: the one that the target names; empty: those on the command line are tried.
    Result<std::unique_ptr<Machine>> run(const std::string& given_socket);

private:
    void find_socket(const std::string& given);
    bool is_held();
    // Its parent made the socket and gave it to QEMU: it then shows the parent as its owner.
    [[nodiscard]] bool handed_over() const {
        return std::any_of(qemu_.line.qmp_sockets.begin(), qemu_.line.qmp_sockets.end(),
                           [](const QmpSocket& socket) { return socket.fd.has_value(); });
    }
    Result<void> ask_monitor();
    Result<void> read_facts(QmpClient& qmp);
    void describe();

    std::shared_ptr<const HostProcess> process_;
    QemuProcess qemu_;
    OpenOptions options_;
    MachineInfo info_;
    std::optional<MemoryPlan> plan_;
    bool monitor_answered_ = false;
    std::string given_socket_;
    std::int32_t socket_peer_ = -1;  // who listens on the socket
};

void Opening::find_socket(const std::string& given) {
    info_.qmp_socket = given;
    for (const QmpSocket& socket : qemu_.line.qmp_sockets) {
        if (info_.qmp_socket.empty()) info_.qmp_socket = reachable_socket(*process_, socket);
        if (!info_.qmp_socket.empty()) return;
        info_.notes.push_back(fmt::format("the monitor socket '{}' cannot be reached from here", socket.path));
    }
}

Result<void> Opening::read_facts(QmpClient& qmp) {
    // Each question costs the monitor a turn of its main loop, half a millisecond: what is known is not asked.
    const bool ask_name = info_.name.empty();
    const bool ask_kvm = info_.accelerator.empty();
    std::vector<QmpClient::Command> questions{{"query-status"}};
    questions.push_back({"qom-get", {{"path", "/machine"}, {"property", "type"}}});
    if (ask_name) questions.push_back({"query-name"});
    if (ask_kvm) questions.push_back({"query-kvm"});
    const auto replies = qmp.execute_all(std::move(questions));
    if (!replies[0]) return replies[0].error();
    const std::string state = json_string(*replies[0], "status").value_or("");
    if (state == "postmigrate") return migrated_away(process_->pid());
    if (state == "inmigrate" || state == "preconfig") {
        return Error::with_text(
            Errc::unsupported, Origin::source,
            fmt::format("the guest of process {} is not there yet (status '{}')", process_->pid(), state),
            "try again when it runs");
    }
    if (json_bool(*replies[0], "running") == false)
        info_.notes.push_back(fmt::format("the guest does not run (status '{}')", state));
    if (const auto& type = replies[1]) {
        constexpr std::string_view kSuffix = "-machine";
        if (const auto* text = type->get_ptr<const std::string*>(); text != nullptr && text->ends_with(kSuffix)) {
            info_.machine_type = text->substr(0, text->size() - kSuffix.size());
        }
    }
    if (ask_name && replies[2]) info_.name = json_string(*replies[2], "name").value_or("");
    if (ask_kvm && replies.back()) {
        if (const auto enabled = json_bool(*replies.back(), "enabled")) info_.accelerator = *enabled ? "kvm" : "tcg";
    }
    info_.version = qmp.qemu_version();
    return {};
}

// A socket that another client keeps is done without from here on: registers and pausing take their other routes.
bool Opening::is_held() {
    const auto client = find_lasting_client(*process_, info_.qmp_socket);
    if (!client) return false;
    info_.notes.push_back(fmt::format("the monitor socket '{}' is held by another client, {}: it is done without",
                                      info_.qmp_socket, to_string(*client)));
    info_.qmp_socket.clear();
    return true;
}

// Fills plan_ when the monitor answers; what stands in the way becomes a note. Fails only if the guest is not there.
Result<void> Opening::ask_monitor() {
    if (!options_.use_qmp || info_.qmp_socket.empty() || is_held()) return {};
    auto qmp = QmpClient::connect(info_.qmp_socket, options_.qmp_timeout);
    if (!qmp) {
        info_.notes.push_back(qmp.error().to_string());
        if (qmp.error().code == Errc::busy) info_.qmp_socket.clear();
        return {};
    }
    const std::int32_t peer = (*qmp)->peer_pid();
    if (peer > 0 && peer != process_->pid() && !handed_over()) {
        std::string text = fmt::format("the socket '{}' belongs to process {} by now", info_.qmp_socket, peer);
        // What was asked for is the guest behind that socket, and this is another.
        if (!given_socket_.empty()) return Error::with_text(Errc::stale, Origin::source, std::move(text), "try again");
        info_.notes.push_back(std::move(text) + " and is not used");
        info_.qmp_socket.clear();
        return {};
    }
    socket_peer_ = peer;
    auto facts = read_facts(**qmp);
    if (!facts) {
        const Errc code = facts.error().code;
        if (code == Errc::stale || code == Errc::unsupported) return facts.error();
        info_.notes.push_back(facts.error().to_string());
        return {};
    }
    monitor_answered_ = true;
    auto plan = plan_from_monitor(**qmp);
    if (plan) plan_ = std::move(*plan);
    else info_.notes.push_back("the memory map is taken from the command line: " + plan.error().to_string());
    return {};
}

void Opening::describe() {
    info_.kind = "QEMU";
    info_.name = qemu_.line.name;
    info_.pid = process_->pid();
    info_.machine_type = qemu_.line.machine.empty() ? "pc" : qemu_.line.machine;
    // What is open tells more truly than what was asked for: "kvm:tcg" may have become either.
    const auto kvm = uses_kvm(*process_);
    if (kvm) info_.accelerator = *kvm ? "kvm" : "tcg";
    if (qemu_.line.awaits_migration) {
        info_.notes.emplace_back(
            "QEMU was started to receive a migration: until that is over the memory is incomplete");
    }
}

Result<std::unique_ptr<Machine>> Opening::run(const std::string& given_socket) {
    if (!qemu_.is_x86()) {
        return Error::with_text(Errc::unsupported, Origin::source,
                                fmt::format("process {} emulates '{}'; only x86-64 guests can be looked into",
                                            process_->pid(), qemu_.system));
    }
    const std::vector<HostMapping> maps = VITRINE_TRY(read_maps(*process_));
    describe();
    given_socket_ = given_socket;
    if (!handed_over()) socket_peer_ = process_->pid();
    find_socket(given_socket);
    VITRINE_CHECK(ask_monitor());
    std::optional<Backing> backing;
    if (plan_) {
        auto made = make_backing(process_, plan_->blocks, maps);
        if (made) {
            backing = std::move(*made);
        } else if (made.error().code == Errc::inconsistent) {
            // What the monitor says does not fit its own mappings: what is mapped counts.
            info_.notes.push_back("the memory map is taken from the command line: " + made.error().to_string());
            plan_.reset();
        } else {
            return made.error();
        }
    }
    if (!backing) {
        plan_ = VITRINE_TRY(plan_from_command_line(qemu_.line, maps));
        backing = VITRINE_TRY(make_backing(process_, plan_->blocks, maps));
    }
    info_.backend = backing->description;
    info_.uncovered = plan_->uncovered;
    info_.unproven_order = plan_->unproven_order;
    for (auto& note : plan_->notes) info_.notes.push_back(std::move(note));
    for (auto& note : backing->notes) info_.notes.push_back(std::move(note));
    VITRINE_CHECK(process_->check_alive());

    const MonitorFacts facts{process_->pid(), info_.accelerator == "kvm", info_.qmp_socket, options_, true,
                             socket_peer_};
    auto machine = std::make_unique<QemuMachine>(process_, std::move(info_), std::move(*backing),
                                                 std::move(plan_->layouts), std::move(plan_->interchangeable));
    if (monitor_answered_) machine->watch_migration(options_.qmp_timeout, socket_peer_);
    const std::shared_ptr<Guardian> guardian = make_guardian(facts);
    machine->set_capabilities(make_registers(facts, guardian), make_pause_control(facts, guardian));
    return std::unique_ptr<Machine>(std::move(machine));
}

}  // namespace

Result<std::unique_ptr<Machine>> open_qemu_process(std::shared_ptr<const HostProcess> process, QemuProcess qemu,
                                                   const OpenOptions& options, const std::string& socket) {
    return Opening(std::move(process), std::move(qemu), options).run(socket);
}

}  // namespace vitrine
