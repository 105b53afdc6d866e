#include "sources/registers/capabilities.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "sources/qmp/qmp_client.h"
#include "sources/registers/device_stream.h"
#include "sources/registers/info_registers.h"
#include "sources/registers/kvm_state.h"

namespace vitrine {

namespace {

constexpr std::string_view kInfoRegisters = "info registers -a";

bool has_socket(const MonitorFacts& facts) { return facts.options.use_qmp && !facts.qmp_socket.empty(); }
bool may_inject(const MonitorFacts& facts) { return facts.is_kvm && facts.options.use_injection; }

class MonitorRegisters final : public VcpuRegisters {
public:
    MonitorRegisters(MonitorFacts facts, std::shared_ptr<Guardian> guardian)
        : facts_(std::move(facts)), guardian_(std::move(guardian)) {}

    Result<std::vector<VcpuState>> read_registers(RegisterSet wanted) override {
        const std::lock_guard lock(mutex_);
        VITRINE_CHECK(guardian_->check_alive());
        if (guardian_->holds_freeze()) {
            if (may_inject(facts_)) return by_ioctl(wanted);
            return Error::with_text(
                Errc::busy, Origin::source, "registers cannot be read while the monitor's threads are stopped",
                "give QEMU a monitor socket (-qmp unix:PATH,server=on,wait=off), and both are possible");
        }
        // For control registers the monitor is asked first: that touches no thread of it. MSRs under KVM come by ioctls
        // first: those hold up one vCPU for some microseconds, the device stream stops the guest for milliseconds.
        const bool inject_first = may_inject(facts_) && (wanted == RegisterSet::all || !has_socket());
        auto first = inject_first ? by_ioctl(wanted) : by_qmp(wanted);
        if (first) return first;
        if (inject_first ? !has_socket() : !may_inject(facts_)) return first;
        auto second = inject_first ? by_qmp(wanted) : by_ioctl(wanted);
        return second ? second : first;
    }

    [[nodiscard]] std::string_view route() const override { return route_; }

private:
    [[nodiscard]] bool has_socket() const { return vitrine::has_socket(facts_) && !guardian_->socket_is_held(); }

    Result<std::vector<VcpuState>> by_ioctl(RegisterSet wanted) {
        const auto msrs = wanted == RegisterSet::all ? kvm_msr_indices() : std::vector<std::uint32_t>{};
        const auto records = VITRINE_TRY(guardian_->read_vcpus(msrs));
        std::vector<VcpuState> states;
        states.reserve(records.size());
        for (const auto& record : records) states.push_back(to_vcpu_state(record));
        route_ = "KVM ioctls in the monitor";
        return states;
    }

    Result<std::vector<VcpuState>> by_qmp(RegisterSet wanted) {
        if (guardian_->socket_is_held())
            return Error::make(Errc::busy, Origin::source, "registers: another client holds the monitor socket");
        if (!has_socket()) return Error::make(Errc::unsupported, Origin::source, "registers without a monitor socket");
        const std::string text = VITRINE_TRY(info_registers());
        auto states = VITRINE_TRY(parse_info_registers(text));
        route_ = "QMP";
        if (wanted == RegisterSet::control) return states;
        auto stream = guardian_->device_state();
        if (!stream) return states;  // without MSRs: a monitor that knows no such command
        auto complete = read_device_stream(*stream, states);
        if (!complete) return states;
        const bool any = std::any_of(complete->begin(), complete->end(),
                                     [](const VcpuState& s) { return s.lstar.has_value(); });
        if (any) route_ = "QMP and device state";
        return complete;
    }

    Result<std::string> info_registers() {
        if (!guardian_->holds_qmp()) {
            const auto client = QmpClient::connect(facts_.qmp_socket, facts_.options.qmp_timeout, facts_.socket_peer);
            if (!client && client.error().code == Errc::busy) guardian_->note_held_socket();
            if (!client) return client.error();
            return (*client)->hmp(kInfoRegisters);
        }
        const nlohmann::json command = {{"execute", "human-monitor-command"},
                                        {"arguments", {{"command-line", kInfoRegisters}}}};
        const std::string answer = VITRINE_TRY(guardian_->qmp(command.dump() + "\n"));
        const nlohmann::json reply = VITRINE_TRY(parse_qmp_message(answer));
        auto text = json_string(reply, "return");
        if (!text) return Error::make(Errc::malformed, Origin::source, "monitor's answer to info registers");
        return *std::move(text);
    }

    MonitorFacts facts_;
    std::shared_ptr<Guardian> guardian_;
    std::mutex mutex_;
    std::string_view route_ = may_inject(facts_) && !vitrine::has_socket(facts_) ? "KVM ioctls in the monitor" : "QMP";
};

class MonitorPause final : public PauseControl {
public:
    MonitorPause(MonitorFacts facts, std::shared_ptr<Guardian> guardian)
        : facts_(std::move(facts)), guardian_(std::move(guardian)), route_(has_socket() ? kQmp : kFreeze) {}
    ~MonitorPause() override {
        if (depth_ != 0) (void)guardian_->resume();
    }

    Result<void> pause() override {
        const std::lock_guard lock(mutex_);
        if (depth_ == 0) VITRINE_CHECK(pause_now());
        ++depth_;
        return {};
    }

    Result<void> resume() override {
        const std::lock_guard lock(mutex_);
        if (depth_ == 0) return Error::make(Errc::usage, Origin::source, "resume without pause");
        if (depth_ == 1) VITRINE_CHECK(guardian_->resume());
        --depth_;
        return {};
    }

    [[nodiscard]] std::string_view route() const override { return route_; }

private:
    static constexpr std::string_view kQmp = "QMP stop";
    static constexpr std::string_view kFreeze = "monitor's threads stopped";

    [[nodiscard]] bool has_socket() const { return vitrine::has_socket(facts_) && !guardian_->socket_is_held(); }

    Result<void> pause_now() {
        Result<void> by_qmp = Error::make(Errc::unsupported, Origin::source, "pausing without a monitor socket");
        if (has_socket()) by_qmp = guardian_->pause_by_qmp();
        route_ = kQmp;
        if (by_qmp) return {};
        // Not when the monitor has the request and did not answer: it may still carry it out.
        const Errc code = by_qmp.error().code;
        if (has_socket() && code != Errc::busy && code != Errc::permission && code != Errc::io) return by_qmp;
        route_ = kFreeze;
        return guardian_->pause_by_freeze();
    }

    MonitorFacts facts_;
    std::shared_ptr<Guardian> guardian_;
    std::mutex mutex_;
    unsigned depth_ = 0;
    std::string_view route_;
};

}  // namespace

std::shared_ptr<Guardian> make_guardian(const MonitorFacts& facts) {
    return std::make_shared<Guardian>(GuardianTarget{facts.pid,
                                                     facts.options.use_qmp ? facts.qmp_socket : std::string(),
                                                     facts.options.qmp_timeout, facts.is_qemu, facts.socket_peer});
}

std::unique_ptr<VcpuRegisters> make_registers(const MonitorFacts& facts, std::shared_ptr<Guardian> guardian) {
    if (!has_socket(facts) && !may_inject(facts)) return nullptr;
    if (!guardian) guardian = make_guardian(facts);
    return std::make_unique<MonitorRegisters>(facts, std::move(guardian));
}

std::unique_ptr<PauseControl> make_pause_control(const MonitorFacts& facts, std::shared_ptr<Guardian> guardian) {
    if (!guardian) guardian = make_guardian(facts);
    return std::make_unique<MonitorPause>(facts, std::move(guardian));
}

}  // namespace vitrine
