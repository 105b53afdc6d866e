// Reads and pauses a monitor by a chosen route, without the rest of Vitrine: for the live tests.
//
//   register_probe read PID [--qmp SOCKET] [--kvm] [--all] [--repeat N]
//   register_probe pause PID [--qmp SOCKET] [--kvm] [--hold-ms N] [--read]
//   register_probe storm PID inject|freeze|qmp|state|mixed [--qmp SOCKET] [--kvm]    until it is killed
//   register_probe status PID --qmp SOCKET                                            the guest's state, as QMP names it
//   register_probe stream PID --qmp SOCKET                                            the device stream, as bytes
//
// --qmp gives the socket, --kvm allows ioctls in the monitor; what is not given is not used. Answers are JSON.
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "sources/qmp/qmp_client.h"
#include "sources/registers/capabilities.h"

namespace {

using nlohmann::json;
using vitrine::Result;
using Clock = std::chrono::steady_clock;

struct Options {
    vitrine::MonitorFacts facts;
    bool all = false;
    bool read_while_paused = false;
    int repeat = 1;
    int hold_ms = 0;
    std::string kind;
};

json optional_json(const std::optional<std::uint64_t>& value) { return value ? json(*value) : json(nullptr); }

json to_json(const vitrine::VcpuState& s) {
    return {{"index", s.index},
            {"cr0", s.cr0},
            {"cr2", s.cr2},
            {"cr3", s.cr3},
            {"cr4", s.cr4},
            {"efer", s.efer},
            {"rip", s.rip},
            {"rflags", s.rflags},
            {"gpr", s.gpr},
            {"cs", s.cs},
            {"fs_base", s.fs_base},
            {"gs_base", s.gs_base},
            {"idt", {s.idt.base, s.idt.limit}},
            {"gdt", {s.gdt.base, s.gdt.limit}},
            {"kernel_gs_base", optional_json(s.kernel_gs_base)},
            {"star", optional_json(s.star)},
            {"lstar", optional_json(s.lstar)},
            {"cstar", optional_json(s.cstar)},
            {"sfmask", optional_json(s.sfmask)},
            {"sysenter_cs", optional_json(s.sysenter_cs)},
            {"sysenter_esp", optional_json(s.sysenter_esp)},
            {"sysenter_eip", optional_json(s.sysenter_eip)}};
}

json to_json(const vitrine::Guardian::Windows& windows) {
    const auto mean = windows.count == 0 ? 0 : windows.total.count() / static_cast<long long>(windows.count);
    return {{"count", windows.count}, {"mean_ns", mean}, {"longest_ns", windows.longest.count()}};
}

int fail(const vitrine::Error& error) {
    std::cout
        << json{{"error", error.to_string()}, {"code", vitrine::to_string(error.code)}, {"hint", error.hint()}}.dump()
        << std::endl;
    return 1;
}

json statistics(std::vector<double> us) {
    if (us.empty()) return nullptr;
    std::sort(us.begin(), us.end());
    return {{"count", us.size()},
            {"min_us", us.front()},
            {"median_us", us[us.size() / 2]},
            {"p95_us", us[us.size() * 95 / 100]},
            {"max_us", us.back()}};
}

double since_us(Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

int read(const Options& options) {
    const auto guardian = vitrine::make_guardian(options.facts);
    const auto registers = vitrine::make_registers(options.facts, guardian);
    if (!registers) return fail(vitrine::Error::make(vitrine::Errc::unsupported, vitrine::Origin::source, "no route"));
    const auto wanted = options.all ? vitrine::RegisterSet::all : vitrine::RegisterSet::control;
    std::vector<double> times;
    std::vector<vitrine::VcpuState> last;
    double first = 0;
    int failed = 0;
    std::string last_error;
    for (int i = 0; i < options.repeat; ++i) {
        const auto start = Clock::now();
        auto states = registers->read_registers(wanted);
        const double took = since_us(start);
        if (!states && options.repeat == 1) return fail(states.error());
        if (!states) {
            ++failed;
            last_error = states.error().to_string();
            continue;
        }
        if (i == 0) first = took;
        else times.push_back(took);
        last = std::move(*states);
    }
    json vcpus = json::array();
    for (const auto& state : last) vcpus.push_back(to_json(state));
    json time = statistics(times);
    std::cout << json{{"route", registers->route()},
                      {"vcpus", vcpus},
                      {"first_us", first},
                      {"time", time},
                      {"failed", failed},
                      {"last_error", last_error},
                      {"windows", to_json(guardian->windows())},
                      {"guardian", guardian->process_id()}}
                     .dump()
              << std::endl;
    return 0;
}

int pause(const Options& options) {
    const auto guardian = vitrine::make_guardian(options.facts);
    const auto pausing = vitrine::make_pause_control(options.facts, guardian);
    const auto registers = vitrine::make_registers(options.facts, guardian);
    std::vector<double> times;
    for (int i = 0; i < options.repeat; ++i) {
        const auto start = Clock::now();
        if (auto done = pausing->pause(); !done) return fail(done.error());
        const double paused = since_us(start);
        if (options.read_while_paused && registers) {
            auto states = registers->read_registers(options.all ? vitrine::RegisterSet::all
                                                                : vitrine::RegisterSet::control);
            if (!states) return fail(states.error());
            if (i == 0)
                std::cout << json{{"vcpus", states->size()}, {"first", to_json(states->front())}}.dump() << std::endl;
        }
        if (options.hold_ms > 0) {
            std::cout << json{{"paused", pausing->route()}, {"guardian", guardian->process_id()}}.dump() << std::endl;
            std::this_thread::sleep_for(std::chrono::milliseconds(options.hold_ms));
        }
        const auto again = Clock::now();
        if (auto done = pausing->resume(); !done) return fail(done.error());
        times.push_back(paused + since_us(again));
    }
    std::cout << json{{"route", pausing->route()}, {"time", statistics(times)}}.dump() << std::endl;
    return 0;
}

int storm(const Options& options) {
    const auto guardian = vitrine::make_guardian(options.facts);
    const auto registers = vitrine::make_registers(options.facts, guardian);
    const auto pausing = vitrine::make_pause_control(options.facts, guardian);
    const auto is = [&](const char* kind) { return options.kind == kind || options.kind == "mixed"; };
    if (auto started = guardian->start(); !started) return fail(started.error());
    std::cout << guardian->process_id() << std::endl;
    for (;;) {
        if (is("inject") && registers) (void)registers->read_registers(vitrine::RegisterSet::all);
        if (is("state") && registers) (void)registers->read_registers(vitrine::RegisterSet::all);
        if (is("qmp") || is("freeze")) {
            const auto paused = pausing->pause();
            if (paused && is("inject") && registers) (void)registers->read_registers(vitrine::RegisterSet::control);
            if (paused) (void)pausing->resume();
        }
    }
}

int status(const Options& options) {
    const auto qmp = vitrine::QmpClient::connect(options.facts.qmp_socket, std::chrono::seconds(5));
    if (!qmp) return fail(qmp.error());
    const auto reply = (*qmp)->execute("query-status");
    if (!reply) return fail(reply.error());
    std::cout << vitrine::json_string(*reply, "status").value_or("unknown") << std::endl;
    return 0;
}

int stream(const Options& options) {
    const auto bytes = vitrine::make_guardian(options.facts)->device_state();
    if (!bytes) return fail(bytes.error());
    std::cout.write(reinterpret_cast<const char*>(bytes->data()), static_cast<std::streamsize>(bytes->size()));
    return std::cout ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    bool allow_ioctls = false;
    CLI::App app{"reads and pauses a monitor"};
    app.require_subcommand(1);
    auto* read_command = app.add_subcommand("read");
    auto* pause_command = app.add_subcommand("pause");
    auto* storm_command = app.add_subcommand("storm");
    auto* stream_command = app.add_subcommand("stream");
    auto* status_command = app.add_subcommand("status");
    for (auto* command : {read_command, pause_command, storm_command, stream_command, status_command}) {
        command->add_option("pid", options.facts.pid)->required();
        command->add_option("--qmp", options.facts.qmp_socket);
        command->add_flag("--kvm", allow_ioctls);
        command->add_flag("--all", options.all);
        command->add_flag("--read", options.read_while_paused);
        command->add_option("--repeat", options.repeat);
        command->add_option("--hold-ms", options.hold_ms);
    }
    storm_command->add_option("kind", options.kind)->required();
    CLI11_PARSE(app, argc, argv);
    options.facts.is_kvm = allow_ioctls;
    options.facts.options.use_injection = allow_ioctls;
    if (*read_command) return read(options);
    if (*pause_command) return pause(options);
    if (*stream_command) return stream(options);
    if (*status_command) return status(options);
    return storm(options);
}
