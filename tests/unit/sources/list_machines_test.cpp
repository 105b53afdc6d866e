// What is listed, with processes that look like QEMU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sources/qemu/libvirt.h"
#include "unit/sources/fake_qemu.h"
#include "vitrine/machine/machine.h"

namespace vitrine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

std::string path_of(const char* name) {
    return (std::filesystem::temp_directory_path() / (std::string("vitrine-list-") + name + std::to_string(::getpid())))
        .string();
}

MachineListing row_of(const FakeQemu& qemu) {
    const auto machines = list_machines();
    EXPECT_TRUE(machines);
    for (const MachineListing& machine : *machines) {
        if (machine.pid == qemu.pid()) return machine;
    }
    ADD_FAILURE() << "not listed";
    return {};
}

TEST(ListMachines, ConnectsToNothing) {
    const std::string path = path_of("qmp");
    const FakeQemu qemu(
        {{"-m", "64", "-smp", "sockets=2,cores=2", "-qmp", "unix:" + path + ",server=on,wait=off"}, {64}, path});
    const MachineListing row = row_of(qemu);
    EXPECT_EQ(qemu.count_waiting(), 0);
    EXPECT_EQ(row.qmp_socket, path);
    EXPECT_THAT(row.qmp_targets, ElementsAre("qmp:" + path));
    EXPECT_EQ(row.vcpus, 4u);
    EXPECT_EQ(row.memory_bytes, 64u << 20);
    EXPECT_EQ(row.libvirt_domain, "");
}

TEST(ListMachines, WhatAConfigurationFileSaysIsUnknown) {
    const std::string path = path_of("config");
    const FakeQemu qemu({{"-readconfig", "guest.cfg"}, {64}, path});
    const MachineListing row = row_of(qemu);
    EXPECT_EQ(row.memory_bytes, 0u);
    EXPECT_EQ(row.vcpus, 0u);
    // A socket that nothing on the command line accounts for.
    EXPECT_THAT(row.qmp_targets, ElementsAre("qmp:" + path));
    EXPECT_EQ(row.qmp_socket, "") << "not known to be one, so not connected to unasked";
    EXPECT_EQ(qemu.count_waiting(), 0);
}

TEST(ListMachines, OtherSocketsAreNoTargets) {
    const std::string path = path_of("vnc");
    const FakeQemu qemu({{"-m", "64", "-vnc", "unix:" + path}, {64}, path});
    EXPECT_THAT(row_of(qemu).qmp_targets, IsEmpty());
}

TEST(ListMachines, DomainsOfLibvirt) {
    const FakeQemu qemu({{"-m", "64", "-name", "guest=web1,debug-threads=on", "-object",
                          R"({"qom-type":"secret","id":"masterKey0","format":"raw","file":"/x"})"},
                         {64},
                         ""});
    EXPECT_EQ(row_of(qemu).libvirt_domain, "web1");
}

TEST(LibvirtDomains, FromItsFiles) {
    const std::string folder = path_of("libvirt");
    std::filesystem::create_directory(folder);
    const auto write = [&](const char* name, const char* text) { std::ofstream(folder + "/" + name) << text; };
    write("a.pid", "101");
    write("b b.pid", "102\n");
    write("c.xml",
          "<!--\nWARNING pid='7'\n-->\n<domstatus state='running' reason='booted' pid='103'>\n <domain pid='8'>");
    write("a.xml", "<domstatus state='running' pid='101'>");
    for (const char* name : {"d.pid", "e.pid", "f.pid", "g.xml", "h.xml", "driver"}) write(name, "");
    write("e.pid", "x1");
    write("f.pid", "99999999999");
    write("g.xml", "<domstatus state='running'");
    write("h.xml", "<domstatus pid='12");
    EXPECT_THAT(read_libvirt_domains(folder), UnorderedElementsAre(Pair(101, "a"), Pair(102, "b b"), Pair(103, "c")));
    EXPECT_THAT(read_libvirt_domains(folder + "/none"), IsEmpty());
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vitrine
