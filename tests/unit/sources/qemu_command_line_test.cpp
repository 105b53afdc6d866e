#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sources/qemu/command_line.h"
#include "sources/qemu/option_text.h"

namespace vitrine {
namespace {

using testing::ElementsAre;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;

QemuCommandLine parse(std::vector<std::string> words) {
    words.insert(words.begin(), "qemu-system-x86_64");
    return parse_qemu_command_line(words);
}

TEST(QemuSize, UnitsAndFractions) {
    EXPECT_EQ(parse_qemu_size("512", kMiB), 512 * kMiB);
    EXPECT_EQ(parse_qemu_size("512M", 1), 512 * kMiB);
    EXPECT_EQ(parse_qemu_size("2097152k", kMiB), 2 * kGiB);
    EXPECT_EQ(parse_qemu_size("1.5G", 1), 3 * kGiB / 2);
    EXPECT_EQ(parse_qemu_size("1T", 1), 1024 * kGiB);
    EXPECT_EQ(parse_qemu_size("0x40000000", 1), kGiB);
    EXPECT_EQ(parse_qemu_size("4096B", kMiB), 4096u);
    for (const char* text : {"", "M", "1X", "1GG", "-1", "99999999999999999999", "17179869184G", "1.5.5G", " 1"}) {
        EXPECT_FALSE(parse_qemu_size(text, 1)) << text;
    }
    // More digits than anyone writes are cut, not multiplied without end.
    EXPECT_TRUE(parse_qemu_size("1.99999999999999999999999999999999G", 1));
}

TEST(QemuOption, CommasAndFlags) {
    const QemuOption option = parse_qemu_option("a,,b,server,x=1,y=,x=2", "guest");
    EXPECT_EQ(option.find("guest")->second, "a,b");
    EXPECT_EQ(option.find("server")->second, "on");
    EXPECT_EQ(option.find("y")->second, "");
    EXPECT_EQ(std::prev(option.upper_bound("x"))->second, "2");
    EXPECT_TRUE(parse_qemu_option("", "x").empty());
}

TEST(QemuCommandLine, Memory) {
    EXPECT_EQ(parse({}).memory_size, 128 * kMiB);
    EXPECT_EQ(parse({"-m", "1000"}).memory_size, 1000 * kMiB);
    EXPECT_EQ(parse({"-m", "1G"}).memory_size, kGiB);
    const QemuCommandLine slots = parse({"--m", "size=2097152k,slots=16,maxmem=8G"});
    EXPECT_EQ(slots.memory_size, 2 * kGiB);
    EXPECT_EQ(slots.max_memory, 8 * kGiB);
    EXPECT_EQ(parse({"-m", "1G", "-m", "maxmem=4G,slots=2"}).memory_size, kGiB);
    EXPECT_EQ(parse({"-object", "memory-backend-ram,id=x,size=3G", "-machine", "memory-backend=x"}).memory_size,
              3 * kGiB);
    EXPECT_FALSE(parse({"-readconfig", "f"}).size_is_known);
    EXPECT_TRUE(parse({"-readconfig", "f", "-m", "1G"}).size_is_known);
}

TEST(QemuCommandLine, Names) {
    EXPECT_EQ(parse({"-name", "foo"}).name, "foo");
    EXPECT_EQ(parse({"-name", "guest=foo,debug-threads=on"}).name, "foo");
    EXPECT_EQ(parse({"-name", "foo,process=bar"}).name, "foo");
    EXPECT_EQ(parse({"-name", "process=bar,guest=foo,,x"}).name, "foo,x");
    EXPECT_EQ(parse({}).name, "");
}

TEST(QemuCommandLine, Machines) {
    const QemuCommandLine line = parse({"-M", "q35,accel=kvm:tcg,max-ram-below-4g=2G", "-machine", "memory-backend=m"});
    EXPECT_EQ(line.machine, "q35");
    EXPECT_EQ(line.accelerator, "kvm");
    EXPECT_EQ(line.max_below_4g, 2 * kGiB);
    EXPECT_EQ(line.memory_backend, "m");
    EXPECT_EQ(parse({"-machine", "usb=off,type=pc"}).machine, "pc");
    EXPECT_EQ(parse({"-accel", "tcg,thread=multi"}).accelerator, "tcg");
    EXPECT_EQ(parse({"-enable-kvm", "disk.img"}).accelerator, "kvm");
    EXPECT_EQ(parse({"-smp", "4,sockets=2"}).vcpus, 4u);
    EXPECT_EQ(parse({"-smp", "cpus=8"}).vcpus, 8u);
    EXPECT_EQ(parse({"-smp", "999999999"}).vcpus, 1u);
    EXPECT_EQ(parse({"-smp", "sockets=2,cores=3,threads=2"}).vcpus, 12u);
    EXPECT_EQ(parse({"-smp", "sockets=2,dies=2,clusters=3,cores=2"}).vcpus, 24u);
    EXPECT_EQ(parse({"-smp", "2,sockets=4,maxcpus=4"}).vcpus, 2u);
    EXPECT_EQ(parse({"-smp", "maxcpus=6,cores=3"}).vcpus, 6u);
    EXPECT_EQ(parse({"-M", "q35,smp.cpus=3"}).vcpus, 3u);
    EXPECT_EQ(parse({"-smp", "sockets=4294967296,cores=4294967296"}).vcpus, 1u);
    EXPECT_TRUE(parse({}).vcpus_are_known);
    EXPECT_FALSE(parse({"-readconfig", "x"}).vcpus_are_known);
    EXPECT_TRUE(parse({"-readconfig", "x", "-smp", "2"}).vcpus_are_known);
}

TEST(QemuCommandLine, ValuesThatLookLikeOptions) {
    const QemuCommandLine line = parse(
        {"-append", "-m", "-S", "-nographic", "-m", "64", "-kernel", "-name", "-snapshot"});
    EXPECT_EQ(line.memory_size, 64 * kMiB);
    EXPECT_EQ(line.name, "");
    EXPECT_EQ(parse({"-m"}).memory_size, 128 * kMiB) << "a value that is missing";
}

// As libvirt 9 writes it.
TEST(QemuCommandLine, Libvirt) {
    const QemuCommandLine line = parse(
        {"-name",
         "guest=web1,debug-threads=on",
         "-S",
         "-object",
         R"({"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/domain-1-web1/master-key.aes"})",
         "-machine",
         "pc-q35-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram",
         "-accel",
         "kvm",
         "-cpu",
         "host",
         "-m",
         "size=4194304k",
         "-object",
         R"({"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"size":4294967296})",
         "-overcommit",
         "mem-lock=off",
         "-smp",
         "2,sockets=2,cores=1,threads=1",
         "-uuid",
         "x",
         "-no-user-config",
         "-nodefaults",
         "-chardev",
         "socket,id=charmonitor,fd=31,server=on,wait=off",
         "-mon",
         "chardev=charmonitor,id=monitor,mode=control",
         "-device",
         R"({"driver":"pc-dimm","memdev":"memdimm0","id":"dimm0"})"});
    EXPECT_EQ(line.name, "web1");
    EXPECT_TRUE(line.by_libvirt);
    EXPECT_FALSE(parse({"-name", "guest=web1,debug-threads=on"}).by_libvirt);
    EXPECT_THAT(line.chardev_fds, ElementsAre(31));
    EXPECT_EQ(line.machine, "pc-q35-7.2");
    EXPECT_EQ(line.memory_size, 4 * kGiB);
    ASSERT_EQ(line.backends.size(), 1u);
    EXPECT_EQ(line.backends[0].type, "memory-backend-memfd");
    EXPECT_EQ(line.find_backend("pc.ram")->size, 4 * kGiB);
    EXPECT_EQ(line.find_backend("none"), nullptr);
    EXPECT_EQ(line.accelerator, "kvm");
    EXPECT_EQ(line.vcpus, 2u);
    ASSERT_EQ(line.qmp_sockets.size(), 1u);
    EXPECT_EQ(line.qmp_sockets[0].fd, 31);
    EXPECT_THAT(line.device_backends, ElementsAre("memdimm0"));
    EXPECT_THAT(line.ram_devices, ElementsAre("memdimm0"));
    EXPECT_THAT(parse({"-device", "ivshmem-plain,memdev=sh"}).ram_devices, ElementsAre());
    EXPECT_THAT(parse({"-device", "virtio-mem-pci,memdev=v"}).ram_devices, ElementsAre("v"));
}

TEST(QemuCommandLine, NumaNodesByNumber) {
    const QemuCommandLine line = parse({"-numa", "node,nodeid=1,memdev=b", "-numa", "node,nodeid=0,cpus=0-1,memdev=a",
                                        "-numa", "dist,src=0,dst=1,val=20", "-numa", "node,memdev=c"});
    EXPECT_THAT(line.numa_backends, ElementsAre("a", "b", "c"));
}

TEST(QemuCommandLine, MonitorSockets) {
    const auto paths = [](const QemuCommandLine& line) {
        std::vector<std::string> all;
        for (const QmpSocket& s : line.qmp_sockets) all.push_back(s.path);
        return all;
    };
    EXPECT_THAT(paths(parse({"-qmp", "unix:/run/a,server=on,wait=off"})), ElementsAre("/run/a"));
    EXPECT_THAT(paths(parse({"-qmp-pretty", "unix:rel,server"})), ElementsAre("rel"));
    EXPECT_THAT(paths(parse({"-mon", "chardev=c,mode=control", "-chardev", "socket,id=c,path=/run/b,server=on"})),
                ElementsAre("/run/b"));
    EXPECT_THAT(paths(parse({"-chardev", "socket,id=c,path=n,abstract=on", "-qmp", "chardev:c"})), ElementsAre("@n"));
    EXPECT_THAT(paths(parse({"-qmp", "tcp:localhost:4444,server", "-qmp", "stdio"})), ElementsAre());
    EXPECT_THAT(paths(parse({"-monitor", "unix:/run/m,server", "-chardev", "socket,id=c,path=/x", "-mon",
                             "chardev=c,mode=readline"})),
                ElementsAre());
    EXPECT_THAT(paths(parse({"-chardev", "socket,id=c,host=h,port=1", "-mon", "chardev=c,mode=control"})),
                ElementsAre());
}

TEST(QemuCommandLine, BrokenJsonIsLeftOut) {
    const QemuCommandLine line = parse(
        {"-object", "{\"qom-type\":", "-object", "{" + std::string(5000, '['), "-object", "{}", "-device", "{"});
    EXPECT_TRUE(line.backends.empty());
    EXPECT_TRUE(line.device_backends.empty());
}

TEST(QemuProgram, Systems) {
    EXPECT_EQ(qemu_system_of("/usr/bin/qemu-system-x86_64"), "x86_64");
    EXPECT_EQ(qemu_system_of("qemu-system-x86_64-microvm"), "x86_64");
    EXPECT_EQ(qemu_system_of("/nix/store/x/bin/.qemu-system-x86_64-wrapped"), "x86_64");
    EXPECT_EQ(qemu_system_of("/usr/libexec/qemu-kvm"), "host");
    EXPECT_EQ(qemu_system_of("qemu-system-aarch64"), "aarch64");
    for (const char* other : {"", "qemu-img", "/usr/bin/qemu-x86_64", "bash", "/qemu-system-x86_64/tool"})
        EXPECT_EQ(qemu_system_of(other), "") << other;
}

}  // namespace
}  // namespace vitrine
