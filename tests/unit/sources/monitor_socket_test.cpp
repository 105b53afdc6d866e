// A monitor socket that another client holds, or that is not the monitor's any more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "sources/qemu/monitor_socket.h"
#include "sources/qemu/qemu_machine.h"
#include "sources/qmp/qmp_client.h"
#include "unit/sources/fake_qemu.h"
#include "vitrine/machine/machine.h"

namespace vitrine {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;

std::string socket_path(const char* name) {
    return (std::filesystem::temp_directory_path() /
            (std::string("vitrine-") + name + "-" + std::to_string(::getpid())))
        .string();
}

bool wait_until(auto condition) {
    for (int i = 0; i < 5000; ++i) {
        if (condition()) return true;
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

// As `vitrine ps --paused` does: open, registers twice (finding the kernel, then whether it runs), pause.
void use_all(Machine& machine) {
    if (VcpuRegisters* registers = machine.registers()) {
        EXPECT_FALSE(registers->read_registers(RegisterSet::control));
        EXPECT_FALSE(registers->read_registers(RegisterSet::control));
    }
    ASSERT_NE(machine.pause_control(), nullptr);
    const auto paused = machine.pause_control()->pause();
    ASSERT_TRUE(paused) << paused.error().to_string();
    EXPECT_NE(machine.pause_control()->route(), "QMP stop");
    EXPECT_TRUE(machine.pause_control()->resume());
}

TEST(HeldSocket, IsSeenWithoutConnecting) {
    const std::string path = socket_path("held");
    const FakeQemu qemu({{"-m", "64", "-qmp", "unix:" + path + ",server=on,wait=off"}, {64}, path, true});
    const LastingClient libvirt(path);
    const auto process = HostProcess::open(qemu.pid());
    ASSERT_TRUE(process);
    ASSERT_TRUE(wait_until([&] { return find_socket_client(*process, path).has_value(); }));
    const auto client = find_socket_client(*process, path);
    EXPECT_EQ(client->pid, libvirt.pid());
    EXPECT_EQ(to_string(*client), "process " + std::to_string(libvirt.pid()) + " (sleep)");
    EXPECT_FALSE(find_socket_client(*process, path + "x"));

    const auto machine = open_machine({TargetKind::qemu, std::to_string(qemu.pid())}, {});
    ASSERT_TRUE(machine) << machine.error().to_string();
    EXPECT_THAT((*machine)->info().notes, Contains(HasSubstr("another client, process")));
    EXPECT_EQ((*machine)->info().qmp_socket, "");
    use_all(**machine);
    EXPECT_EQ(qemu.count_waiting(), 0);
}

TEST(HeldSocket, IsAskedOnce) {
    const std::string path = socket_path("mute");
    const FakeQemu qemu({{"-m", "64", "-qmp", "unix:" + path + ",server=on,wait=off"}, {64}, path});
    OpenOptions options;
    options.qmp_timeout = 50ms;
    const auto machine = open_machine({TargetKind::qemu, std::to_string(qemu.pid())}, options);
    ASSERT_TRUE(machine) << machine.error().to_string();
    use_all(**machine);
    EXPECT_EQ(qemu.count_waiting(), 1);
}

TEST(MonitorPeer, AnotherProcessIsNotTalkedTo) {
    const std::string path = socket_path("peer");
    const FakeQemu qemu({{"-m", "64"}, {64}, path});
    const auto client = QmpClient::connect(path, 50ms, ::getpid());
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().code, Errc::stale);
    EXPECT_EQ(QmpClient::connect(path, 50ms, qemu.pid()).error().code, Errc::busy) << "no greeting";
}

TEST(MonitorPeer, TheNameIsLookedAtAgain) {
    const FakeQemu qemu({{"-m", "64", "-name", "guest=second"}, {64}, ""});
    EXPECT_TRUE(open_qemu_named(qemu.pid(), "second", {}));
    const auto other = open_qemu_named(qemu.pid(), "first", {});
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Errc::stale);
    EXPECT_EQ(open_qemu_named(::getpid(), "first", {}).error().code, Errc::stale);
}

}  // namespace
}  // namespace vitrine
