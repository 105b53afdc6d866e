#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "sources/host/maps.h"
#include "sources/host/open_files.h"
#include "sources/host/process.h"
#include "sources/host/trace_rights.h"
#include "sources/host/unix_sockets.h"
#include "vitrine/machine/machine.h"

namespace vitrine {
namespace {

constexpr std::string_view kMaps =
    "7f1000000000-7f1040000000 rw-p 00000000 00:00 0 \n"
    "7f1040000000-7f1040001000 ---p 00000000 00:00 0 \n"
    "7f1050000000-7f1060000000 rw-s 00200000 00:01 1029                       /memfd:ram (deleted)\n"
    "7f1060000000-7f1060001000 r-xp 00001000 fe:00 332870                     /usr/lib/a b\\012c.so\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

TEST(HostMaps, ReadsEveryColumn) {
    const auto maps = parse_maps(kMaps);
    ASSERT_TRUE(maps) << maps.error().to_string();
    ASSERT_EQ(maps->size(), 5u);
    EXPECT_EQ((*maps)[0].size(), 1u << 30);
    EXPECT_FALSE((*maps)[0].is_file());
    EXPECT_FALSE((*maps)[1].readable);
    const HostMapping& shared = (*maps)[2];
    EXPECT_TRUE(shared.shared && shared.writable && !shared.executable);
    EXPECT_EQ(shared.file_offset, 0x200000u);
    EXPECT_EQ(shared.device_minor, 1u);
    EXPECT_EQ(shared.inode, 1029u);
    EXPECT_EQ(shared.path, "/memfd:ram (deleted)");
    EXPECT_EQ((*maps)[3].path, "/usr/lib/a b\nc.so");
    EXPECT_EQ((*maps)[3].device_major, 0xfeu);
    EXPECT_EQ((*maps)[4].path, "[vsyscall]");
}

TEST(HostMaps, RefusesWhatIsNotSorted) {
    EXPECT_FALSE(parse_maps("2000-3000 rw-p 0 00:00 0\n1000-2000 rw-p 0 00:00 0\n"));
    EXPECT_FALSE(parse_maps("1000-3000 rw-p 0 00:00 0\n2000-4000 rw-p 0 00:00 0\n"));
}

TEST(HostMaps, RefusesBrokenLines) {
    for (const char* line :
         {"x", "1000 rw-p 0 00:00 0", "2000-1000 rw-p 0 00:00 0", "1000-2000 rw 0 00:00 0", "1000-2000 rw-p z 00:00 0",
          "1000-2000 rw-p 0 0000 0", "1000-2000 rw-p 0 00:00 -1", "1000-20000000000000000 rw-p 0 00:00 0"}) {
        EXPECT_FALSE(parse_maps(line)) << line;
    }
    EXPECT_TRUE(parse_maps(""));
}

TEST(HostMaps, JoinsOnlyWhatContinues) {
    const auto maps = parse_maps(
        "1000-2000 rw-p 00000000 00:00 0\n2000-3000 rw-p 00000000 00:00 0\n3000-4000 r--p 00000000 00:00 0\n"
        "5000-6000 rw-s 00000000 00:01 7 /f\n6000-7000 rw-s 00001000 00:01 7 /f\n7000-8000 rw-s 00000000 00:01 7 /f\n");
    ASSERT_TRUE(maps);
    const auto joined = join_mappings(*maps);
    ASSERT_EQ(joined.size(), 4u);
    EXPECT_EQ(joined[0].size(), 0x2000u);
    EXPECT_EQ(joined[2].size(), 0x2000u);
    EXPECT_EQ(joined[3].start, 0x7000u);
}

TEST(HostMaps, FindsAMappingOfThisProcess) {
    const auto self = HostProcess::open(::getpid());
    ASSERT_TRUE(self);
    void* const page = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const auto maps = read_maps(*self);
    ASSERT_TRUE(maps);
    const auto address = reinterpret_cast<std::uintptr_t>(page);
    EXPECT_TRUE(std::any_of(maps->begin(), maps->end(),
                            [&](const HostMapping& m) { return m.start <= address && address < m.end; }));
    ::munmap(page, 4096);
}

TEST(HostMaps, SinglePlacesAreAsTheWholeListHasThem) {
    const auto self = HostProcess::open(::getpid());
    ASSERT_TRUE(self);
    constexpr std::size_t kSize = 8 * 4096;
    const int file = ::memfd_create("maps_at", 0);
    ASSERT_EQ(::ftruncate(file, 16 * 4096), 0);
    void* const shared = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 4096);
    void* const own = ::mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_EQ(::mprotect(static_cast<char*>(own) + 4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    std::vector<HostMapping> places(2);
    places[0].start = reinterpret_cast<std::uintptr_t>(std::max(shared, own));
    places[1].start = reinterpret_cast<std::uintptr_t>(std::min(shared, own));  // in no order
    for (HostMapping& place : places) place.end = place.start + kSize;
    const auto some = read_maps_at(*self, places);
    const auto all = read_maps(*self);
    ASSERT_TRUE(some && all);
    EXPECT_GE(some->size(), 4u) << "the private one is in three pieces";
    for (std::size_t i = 0; i < some->size(); ++i) {
        HostMapping found = (*some)[i];
        const auto listed = std::find_if(all->begin(), all->end(),
                                         [&](const HostMapping& m) { return m.start == found.start; });
        ASSERT_NE(listed, all->end());
        found.path = listed->path;
        EXPECT_EQ(found, *listed);
        EXPECT_TRUE(i == 0 || (*some)[i - 1].end <= found.start) << "sorted";
    }
    // Nothing is there any more: nothing is said of it.
    ::munmap(shared, kSize);
    ::munmap(own, kSize);
    const auto gone = read_maps_at(*self, places);
    ASSERT_TRUE(gone);
    for (const HostMapping& place : places) {
        EXPECT_FALSE(std::any_of(gone->begin(), gone->end(), [&](const HostMapping& m) {
            return m.start <= place.start && place.start < m.end && m.inode != 0;
        }));
    }
    ::close(file);
}

TEST(UnixSockets, ReadsTheTable) {
    const auto sockets = parse_unix_sockets(
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 34871 /run/a b.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 34872\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 34873 @abstract\n"
        "broken\n");
    ASSERT_EQ(sockets.size(), 3u);
    EXPECT_EQ(sockets[0].path, "/run/a b.sock");
    EXPECT_TRUE(sockets[0].listening);
    EXPECT_EQ(sockets[1].path, "");
    EXPECT_FALSE(sockets[1].listening);
    EXPECT_EQ(sockets[2].inode, 34873u);
}

TEST(UnixSockets, InodeOfALink) {
    EXPECT_EQ(socket_inode("socket:[17]"), 17u);
    for (const char* other : {"socket:[]", "socket:[1", "pipe:[1]", "", "socket:[1]x"})
        EXPECT_FALSE(socket_inode(other)) << other;
}

TEST(HostProcess, NumbersAreWholeAndFit) {
    EXPECT_EQ(parse_decimal("18446744073709551615"), ~std::uint64_t{0});
    for (const char* text : {"", " 1", "1 ", "+1", "-1", "18446744073709551616", "0x1"})
        EXPECT_FALSE(parse_decimal(text)) << text;
}

TEST(HostProcess, NoSuchProcess) {
    for (const pid_t pid : {0, -1, 4194304}) {
        const auto process = HostProcess::open(pid);
        ASSERT_FALSE(process);
        EXPECT_EQ(process.error().code, Errc::not_found);
    }
}

TEST(HostProcess, KnowsThatItEnded) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    const auto process = HostProcess::open(child);
    ASSERT_TRUE(process);
    EXPECT_TRUE(process->check_alive());
    ::kill(child, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
    // A zombie has no memory any more.
    ASSERT_FALSE(process->check_alive());
    EXPECT_EQ(process->check_alive().error().code, Errc::stale);
    ::waitpid(child, nullptr, 0);
    EXPECT_EQ(process->check_alive().error().code, Errc::stale);
    EXPECT_FALSE(read_maps(*process));
}

TEST(HostProcess, AZombieHasEnded) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
    for (const TargetKind kind : {TargetKind::qemu, TargetKind::kvm}) {
        const auto machine = open_machine({kind, std::to_string(child)}, {});
        ASSERT_FALSE(machine);
        EXPECT_THAT(machine.error().to_string(), ::testing::HasSubstr("has ended"));
    }
    ::waitpid(child, nullptr, 0);
}

// A process whose first thread is gone shows no command line and no mappings any more, as one does that is killed and has much memory to
// free; it is not dead before its last thread is.
TEST(HostProcess, OneThatIsEndingIsNotSomethingElse) {
    const pid_t child = ::fork();
    if (child == 0) {
        std::thread([] { ::pause(); }).detach();
        ::syscall(SYS_exit, 0);
    }
    const auto process = HostProcess::open(child);
    ASSERT_TRUE(process);
    for (int wait = 0; wait < 5000 && process->check_not_ending(); ++wait) ::usleep(1000);
    EXPECT_TRUE(process->check_alive());
    ASSERT_FALSE(process->check_not_ending());
    EXPECT_EQ(process->check_not_ending().error().code, Errc::stale);
    for (const TargetKind kind : {TargetKind::qemu, TargetKind::kvm}) {
        const auto machine = open_machine({kind, std::to_string(child)}, {});
        ASSERT_FALSE(machine);
        EXPECT_EQ(machine.error().code, Errc::stale);
        EXPECT_THAT(machine.error().to_string(), ::testing::HasSubstr("has ended"));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}

TEST(HostProcess, KernelThreadsAndOthersAreNotEnding) {
    for (const pid_t pid : {::getpid(), pid_t{2}}) {
        const auto process = HostProcess::open(pid);
        EXPECT_TRUE(!process || process->check_not_ending()) << pid;
    }
}

TEST(TraceRights, SaysWhatIsReallyInTheWay) {
    const auto what = [](const TraceRights& rights, int error = EPERM) {
        const Obstacle obstacle = trace_obstacle(rights, error);
        EXPECT_FALSE(obstacle.mend.empty());
        return obstacle.what;
    };
    using testing::AllOf;
    using testing::HasSubstr;
    using testing::Not;
    const auto missing = HasSubstr("CAP_SYS_PTRACE is missing");
    EXPECT_THAT(what({}), missing);
    EXPECT_THAT(what({.yama_scope = 0}), AllOf(missing, Not(HasSubstr("yama"))));
    EXPECT_THAT(what({.yama_scope = 1}), AllOf(missing, HasSubstr("ptrace_scope 1")));
    EXPECT_THAT(what({.yama_scope = 3}), AllOf(Not(missing), HasSubstr("ptrace_scope is 3")));
    EXPECT_THAT(what({.has_capability = true, .yama_scope = 3}), HasSubstr("ptrace_scope is 3"));
    EXPECT_THAT(what({.has_capability = true, .yama_scope = 2}), HasSubstr("refuses all the same"));
    EXPECT_THAT(what({.has_capability = true, .is_filtered = true}), HasSubstr("seccomp"));
    EXPECT_THAT(what({.has_capability = true, .is_filtered = true, .in_user_namespace = true}), HasSubstr("namespace"));
    EXPECT_THAT(what({.has_capability = true, .confinement = "docker-default (enforce)"}), HasSubstr("docker-default"));
    EXPECT_THAT(what({.has_capability = true, .is_filtered = true}, ENOSYS), HasSubstr("seccomp"));
    EXPECT_THAT(what({.has_capability = true}, ENOSYS), AllOf(HasSubstr("kernel"), Not(HasSubstr("CAP_"))));
    EXPECT_EQ(process_error(1, ENOSYS, "reading").code, Errc::unsupported);
    EXPECT_EQ(process_error(1, EPERM, "reading").code, Errc::permission);
}

TEST(TraceRights, OfThisProcess) {
    const pid_t child = ::fork();
    if (child == 0) {
        // CapEff of a process that gave up everything: user 65534 has none.
        if (::setuid(65534) == 0) ::_exit(own_trace_rights().has_capability ? 1 : 0);
        ::_exit(own_trace_rights().has_capability ? 1 : 0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    const TraceRights rights = own_trace_rights();
    if (::getuid() == 0 && !rights.in_user_namespace) {
        EXPECT_EQ(rights.has_capability,
                  process_error(1, EPERM, "x").to_string().find("is missing") == std::string::npos);
    }
}

TEST(OpenFiles, FindsTheFileBehindAMapping) {
    const auto self = HostProcess::open(::getpid());
    ASSERT_TRUE(self);
    const UniqueFd file(::memfd_create("two", MFD_CLOEXEC));
    const UniqueFd decoy(::memfd_create("two", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 8192), 0);
    ASSERT_EQ(::ftruncate(decoy.get(), 8192), 0);
    ASSERT_EQ(::pwrite(file.get(), "right", 5, 4096), 5);
    void* const mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file.get(), 4096);
    const auto maps = read_maps(*self);
    ASSERT_TRUE(maps);
    const auto address = reinterpret_cast<std::uintptr_t>(mapped);
    const auto mapping = std::find_if(maps->begin(), maps->end(),
                                      [&](const HostMapping& m) { return m.start == address; });
    ASSERT_NE(mapping, maps->end());
    const auto opened = open_mapped_file(*self, *mapping);
    ASSERT_TRUE(opened) << opened.error().to_string();
    EXPECT_NE(opened->get(), file.get());
    char text[5];
    ASSERT_EQ(::pread(opened->get(), text, 5, 4096), 5);
    EXPECT_EQ(std::memcmp(text, "right", 5), 0);
    EXPECT_EQ(::pwrite(opened->get(), "x", 1, 0), -1) << "only for reading";

    HostMapping gone = *mapping;
    gone.inode += 100'000;
    const auto missing = open_mapped_file(*self, gone);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    ::munmap(mapped, 4096);
}

TEST(OpenFiles, ListsWhatIsOpen) {
    const auto self = HostProcess::open(::getpid());
    ASSERT_TRUE(self);
    const UniqueFd file(::memfd_create("listed", MFD_CLOEXEC));
    const auto files = list_open_files(*self);
    ASSERT_TRUE(files);
    EXPECT_THAT(*files, testing::Contains(testing::Field(&OpenFile::target, testing::StartsWith("/memfd:listed"))));
}

}  // namespace
}  // namespace vitrine
